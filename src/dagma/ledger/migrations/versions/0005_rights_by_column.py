"""Bound every figure, take times from the database, tell who asked, and keep estimates and refusals."""

from dagma.ledger.migrations.scripts import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Change tables and guards. SQLite can't change a table's constraints, so there its tables are written anew."""
    run_script(revision)
