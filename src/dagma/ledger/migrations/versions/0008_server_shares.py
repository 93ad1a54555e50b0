"""Keep what all batches share at a server: calls in flight, and times to begin calls at."""

import sqlalchemy as sa
from alembic import op

from dagma.ledger.tables import UtcTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "servers",
        sa.Column("server", sa.Text, primary_key=True),
        sa.Column("held_until", UtcTime, nullable=False),
        sa.Column("next_start_at", UtcTime, nullable=False),
    )
    op.create_table(
        "shares",
        sa.Column("server", sa.Text, primary_key=True),
        sa.Column("holder", sa.String(32), primary_key=True),
        sa.Column("wants", sa.Integer, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
    )
