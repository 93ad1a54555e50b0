"""Create the ledger's tables, and the functions, triggers and rights that guard them."""

from dagma.ledger.migrations.scripts import run_script

revision = "0009"
down_revision = None


def upgrade() -> None:
    """Create them."""
    run_script(revision)
