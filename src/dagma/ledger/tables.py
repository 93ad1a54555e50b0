"""The ledger's tables on PostgreSQL and on SQLite. `migrate.py` makes them, with the guards of `guards_*.sql`.

To change them, see `migrations/`.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy import CheckConstraint as Check
from sqlalchemy import UniqueConstraint as Unique

from dagma.ledger.database import MONEY_PLACES, MOST_USD, Money, UtcTime

SUM_DIGITS = 28
"""Room for the sum of ten billion of the greatest amounts."""
ZERO = text("0")
AMOUNTS = """
    reserved_tokens BETWEEN 0 AND 1000000000000
    AND reserved_cost >= 0 AND reserved_cost < {most}
    AND COALESCE(input_tokens, 0) BETWEEN 0 AND 1000000000000
    AND COALESCE(output_tokens, 0) BETWEEN 0 AND 1000000000000
    AND COALESCE(total_tokens, 0) BETWEEN 0 AND 1000000000000
    AND COALESCE(estimated_tokens, 0) BETWEEN 0 AND 1000000000000
    AND COALESCE(cost, 0) >= 0 AND COALESCE(cost, 0) < {most}
    AND COALESCE(estimated_cost, 0) >= 0 AND COALESCE(estimated_cost, 0) < {most}
    AND COALESCE(duration_ms, 0) BETWEEN 0 AND 1000000000000
    AND COALESCE(input_characters, 0) BETWEEN 0 AND 1000000000000
    AND COALESCE(refusals, 1) > 0
"""
"""The bounds of a call's numbers. `most` is the first cost that does not fit, in the unit that costs are stored in.

PostgreSQL takes not-a-number for greater than every number, so it is refused as well.
"""

metadata = MetaData()

calls = Table(
    "calls",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("key", String(64), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("scope", Text, nullable=False),
    Column("flow_id", Text, nullable=False),
    Column("flow_name", Text),
    Column("flow_title", Text),
    Column("flow_version", Text),
    Column("backend", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("session_id", Text),
    Column("job_id", Text),
    Column("run_id", Text),
    Column("step", Text),
    Column("partition_key", Text),
    Column("row_key", Text),
    Column("principal", Text),
    Column("state", Text, nullable=False),
    Column("begun_at", UtcTime, nullable=False),
    Column("submitted_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("duration_ms", BigInteger),
    Column("model", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("cost", Money),
    Column("reserved_tokens", BigInteger, nullable=False),
    Column("reserved_cost", Money, nullable=False),
    # What limits count instead where the usage was not reported, or its price is not known.
    Column("estimated_tokens", BigInteger),
    Column("estimated_cost", Money),
    Column("error_class", Text),
    Column("error_message", Text),
    # How often such a call was refused; of calls in the state `refused` only.
    Column("refusals", BigInteger),
    Column("input_characters", BigInteger),
    Column("input_hash", String(64), nullable=False),
    Column("answer_hash", String(64)),
    Column("input_text", Text),
    Column("answer_text", Text),
    Unique("key", "attempt", name="calls_key_attempt"),
    Check("mode IN ('direct', 'job')", name="calls_mode"),
    Check(
        "state IN ('begun', 'submitted', 'answered', 'failed', 'unknown', 'cancelled', 'refused')",
        name="calls_state",
    ),
    Check(
        "attempt >= 0 AND (attempt = 0) = (state = 'refused') AND (refusals IS NOT NULL) = (state = 'refused')",
        name="calls_attempt",
    ),
    Check(AMOUNTS.format(most=MOST_USD), name="calls_amounts").ddl_if(dialect="postgresql"),
    Check(AMOUNTS.format(most=MOST_USD * 10**MONEY_PLACES), name="calls_amounts").ddl_if(dialect="sqlite"),
    Check(
        """
        (finished_at IS NULL) = (state IN ('begun', 'submitted'))
        AND (state <> 'submitted' OR (submitted_at IS NOT NULL AND job_id IS NOT NULL))
        AND (
            state NOT IN ('begun', 'submitted', 'refused')
            OR COALESCE(input_tokens, output_tokens, total_tokens, duration_ms) IS NULL AND cost IS NULL
        )
        """,
        name="calls_ends",
    ),
    Check(
        """
        (estimated_tokens IS NULL OR (state = 'answered' AND total_tokens IS NULL))
        AND (estimated_cost IS NULL OR (state = 'answered' AND cost IS NULL))
        """,
        name="calls_estimates",
    ),
    Check(
        """
        COALESCE(length(principal), 0) <= 200
        AND COALESCE(length(error_class), 0) <= 200
        AND COALESCE(length(error_message), 0) <= 1000
        """,
        name="calls_texts",
    ),
    # No index is of what changes at a call's end: each end would be twice as much work.
    Index("calls_begun_at", "begun_at"),
    Index("calls_run_id", "run_id"),
)

replays = Table(
    "replays",
    metadata,
    Column("call_id", ForeignKey("calls.id", ondelete="CASCADE", name="replays_call"), primary_key=True),
    Column("body", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False, index=True),
)
"""Raw responses for retries, kept apart from the audit rows because they go much sooner."""

rejections = Table(
    "rejections",
    metadata,
    Column("call_id", ForeignKey("calls.id", ondelete="CASCADE", name="rejections_call"), primary_key=True),
    Column("rejected_at", UtcTime, nullable=False),
    Column("reason", Text),
)
"""Answers that the caller could not use, so that the next begin sends the call again."""

usage_hours = Table(
    "usage_hours",
    metadata,
    Column("flow_id", Text, primary_key=True),
    Column("hour", UtcTime, primary_key=True, index=True),
    # Empty where nobody is named, and for what was counted before principals were.
    Column("principal", Text, primary_key=True, server_default=""),
    Column("flow_name", Text),
    Column("flow_title", Text),
    Column("calls", BigInteger, nullable=False),
    # What limits count: what was reported, else what was estimated or reserved.
    Column("tokens", BigInteger, nullable=False),
    Column("cost", Money(SUM_DIGITS), nullable=False),
    Column("metered_calls", BigInteger, nullable=False),
    Column("metered_tokens", BigInteger, nullable=False),
    Column("estimated_calls", BigInteger, nullable=False, server_default=ZERO),
    Column("estimated_tokens", BigInteger, nullable=False, server_default=ZERO),
    Column("priced_calls", BigInteger, nullable=False),
    Column("priced_cost", Money(SUM_DIGITS), nullable=False),
    Column("estimated_costs", BigInteger, nullable=False, server_default=ZERO),
    Column("estimated_cost", Money(SUM_DIGITS), nullable=False, server_default=ZERO),
)
"""Totals by flow, UTC hour and principal, kept by triggers on `calls`. They outlive pruned calls. Refused calls are in
none."""

housekeeping = Table(
    "housekeeping",
    metadata,
    Column("lost_until", UtcTime, nullable=False),
)
"""One row, which nobody reads any more: the next version of the tables drops it."""

retention = Table(
    "retention",
    metadata,
    Column("keep_days", Integer, nullable=False),
    Check("keep_days = 0 OR keep_days BETWEEN 30 AND 36500", name="retention_days"),
)
"""One row, which only the owner writes: for how many days calls are kept, 0 for ever."""

servers = Table(
    "servers",
    metadata,
    Column("server", Text, primary_key=True),
    Column("held_until", UtcTime, nullable=False),
    Column("next_start_at", UtcTime, nullable=False),
)
"""Servers that batches call: until when each wants to be left alone, and when the next call may begin."""

shares = Table(
    "shares",
    metadata,
    Column("server", Text, primary_key=True),
    Column("holder", String(32), primary_key=True),
    Column("wants", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
)
"""How many calls each batch may have in flight at its server. A batch that died loses its share when that expires."""
