"""Let the end of a call be written in the place of its beginning, which no index of what changes then allows."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from dagma.ledger.tables import UtcTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Remember how far lost calls were looked for, instead of an index of the calls that have not ended."""
    housekeeping = op.create_table("housekeeping", sa.Column("lost_until", UtcTime, nullable=False))
    op.bulk_insert(housekeeping, [{"lost_until": datetime(1970, 1, 1, tzinfo=UTC)}])
    op.drop_index("calls_in_flight", "calls")
    if op.get_bind().dialect.name == "postgresql":
        # Room on each page for the ends of the calls that have begun on it.
        op.execute("ALTER TABLE calls SET (fillfactor = 80)")
