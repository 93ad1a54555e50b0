"""Keep the hourly totals by principal as well, so that a limit can be one person's."""

from dagma.ledger.migrations.scripts import run_script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the principal to the key of the totals. What was counted before stays, as nobody's."""
    run_script(revision)
