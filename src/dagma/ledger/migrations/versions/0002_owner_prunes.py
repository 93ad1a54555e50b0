"""Leave pruning to the owner, keep rejections from deletion, and index the calls that have begun and not ended."""

import sqlalchemy as sa
from alembic import op

from dagma.ledger.migrations.scripts import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Change the guards, and add the index."""
    begun = sa.text("state = 'begun'")
    op.create_index("calls_in_flight", "calls", ["begun_at"], postgresql_where=begun, sqlite_where=begun)
    if op.get_bind().dialect.name == "postgresql":
        run_script(revision)
