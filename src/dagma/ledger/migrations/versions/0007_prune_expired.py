"""Let the application prune calls that are older than their owner wants them kept."""

import sqlalchemy as sa
from alembic import op

from dagma.ledger.migrations.scripts import run_script

revision = "0007"
down_revision = "0005"


def upgrade() -> None:
    """Create the table of the one setting, and the function that goes by it."""
    # As the triggers, the table itself refuses fewer than 30 days.
    days = sa.CheckConstraint("keep_days = 0 OR keep_days BETWEEN 30 AND 36500", name="retention_days")
    retention = op.create_table("retention", sa.Column("keep_days", sa.Integer, nullable=False), days)
    op.bulk_insert(retention, [{"keep_days": 400}])
    if op.get_bind().dialect.name == "postgresql":
        run_script(revision)
