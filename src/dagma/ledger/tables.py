"""The ledger's tables, as SQLAlchemy Core sees them. `migrations/` creates them."""

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
)
from sqlalchemy import UniqueConstraint as Unique

from dagma.ledger.database import Money, UtcTime

SUM_DIGITS = 28
"""Room for the sum of ten billion of the greatest amounts."""

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
    Column("principal", Text, primary_key=True),
    Column("flow_name", Text),
    Column("flow_title", Text),
    Column("calls", BigInteger, nullable=False),
    # What limits count: what was reported, else what was estimated or reserved.
    Column("tokens", BigInteger, nullable=False),
    Column("cost", Money(SUM_DIGITS), nullable=False),
    Column("metered_calls", BigInteger, nullable=False),
    Column("metered_tokens", BigInteger, nullable=False),
    Column("estimated_calls", BigInteger, nullable=False),
    Column("estimated_tokens", BigInteger, nullable=False),
    Column("priced_calls", BigInteger, nullable=False),
    Column("priced_cost", Money(SUM_DIGITS), nullable=False),
    Column("estimated_costs", BigInteger, nullable=False),
    Column("estimated_cost", Money(SUM_DIGITS), nullable=False),
)
"""Totals by flow, UTC hour and principal, kept by triggers on `calls`. They outlive pruned calls. Refused calls are in
none."""

housekeeping = Table(
    "housekeeping",
    metadata,
    Column("lost_until", UtcTime, nullable=False),
)
"""One row: until which time of their beginning no call is left whose caller has died."""

retention = Table(
    "retention",
    metadata,
    Column("keep_days", Integer, nullable=False),
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
