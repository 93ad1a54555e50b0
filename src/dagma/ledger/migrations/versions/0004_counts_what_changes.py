"""Write a flow's totals only where a change of a call changes them."""

from alembic import op

from dagma.ledger.migrations.scripts import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Give the trigger its condition."""
    if op.get_bind().dialect.name == "postgresql":
        run_script(revision)
