"""Create the ledger: calls, replays, rejections, hourly totals, and the triggers that guard them."""

import sqlalchemy as sa
from alembic import op

from dagma.ledger.migrations.scripts import run_script
from dagma.ledger.tables import Money, UtcTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create tables and guards."""
    _create_calls()
    _create_replays()
    _create_rejections()
    _create_usage_hours()
    run_script(revision)


def _create_calls() -> None:
    spared = "CASE WHEN state IN ('failed', 'cancelled') THEN 0 ELSE"
    op.create_table(
        "calls",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("flow_id", sa.Text, nullable=False),
        sa.Column("flow_name", sa.Text),
        sa.Column("flow_version", sa.Text),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text),
        sa.Column("job_id", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("step", sa.Text),
        sa.Column("partition_key", sa.Text),
        sa.Column("row_key", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("begun_at", UtcTime, nullable=False),
        sa.Column("submitted_at", UtcTime),
        sa.Column("finished_at", UtcTime),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("model", sa.Text),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("total_tokens", sa.BigInteger),
        sa.Column("cost", Money),
        sa.Column("reserved_tokens", sa.BigInteger, nullable=False),
        sa.Column("reserved_cost", Money, nullable=False),
        sa.Column(
            "counted_tokens",
            sa.BigInteger,
            sa.Computed(f"COALESCE(total_tokens, {spared} reserved_tokens END)", persisted=True),
        ),
        sa.Column("counted_cost", Money, sa.Computed(f"COALESCE(cost, {spared} reserved_cost END)", persisted=True)),
        sa.Column("error_class", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("input_hash", sa.String(64), nullable=False),
        sa.Column("answer_hash", sa.String(64)),
        sa.Column("input_text", sa.Text),
        sa.Column("answer_text", sa.Text),
        sa.UniqueConstraint("key", "attempt", name="calls_key_attempt"),
        sa.CheckConstraint("mode IN ('direct', 'job')", name="calls_mode"),
        sa.CheckConstraint(
            "state IN ('begun', 'submitted', 'answered', 'failed', 'unknown', 'cancelled')", name="calls_state"
        ),
    )
    op.create_index("calls_begun_at", "calls", ["begun_at"])
    op.create_index("calls_run_id", "calls", ["run_id"])


def _create_replays() -> None:
    op.create_table(
        "replays",
        sa.Column(
            "call_id",
            sa.String(32),
            sa.ForeignKey("calls.id", ondelete="CASCADE", name="replays_call"),
            primary_key=True,
        ),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
    )
    op.create_index("ix_replays_created_at", "replays", ["created_at"])


def _create_rejections() -> None:
    op.create_table(
        "rejections",
        sa.Column(
            "call_id",
            sa.String(32),
            sa.ForeignKey("calls.id", ondelete="CASCADE", name="rejections_call"),
            primary_key=True,
        ),
        sa.Column("rejected_at", UtcTime, nullable=False),
        sa.Column("reason", sa.Text),
    )


def _create_usage_hours() -> None:
    op.create_table(
        "usage_hours",
        sa.Column("flow_id", sa.Text, primary_key=True),
        sa.Column("hour", UtcTime, primary_key=True),
        sa.Column("flow_name", sa.Text),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("cost", Money, nullable=False),
        sa.Column("metered_calls", sa.BigInteger, nullable=False),
        sa.Column("metered_tokens", sa.BigInteger, nullable=False),
        sa.Column("priced_calls", sa.BigInteger, nullable=False),
        sa.Column("priced_cost", Money, nullable=False),
    )
    op.create_index("ix_usage_hours_hour", "usage_hours", ["hour"])
