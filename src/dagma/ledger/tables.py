"""The ledger's tables, as SQLAlchemy Core sees them, and their types, which mean the same on PostgreSQL and on SQLite.

`migrations/` creates them.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
)
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.types import TypeDecorator, TypeEngine

VERSION_TABLE = "ledger_version"
HEAD = "0009"
"""The migration that leads to these tables, known without importing Alembic."""
MONEY_DIGITS = 18
MONEY_PLACES = 9
"""USD are kept to a billionth: one token of the cheapest model costs about 1e-8 USD."""
MOST_USD = 10 ** (MONEY_DIGITS - MONEY_PLACES)
"""The first amount that does not fit."""
SUM_DIGITS = 28
"""Room for the sum of ten billion of the greatest amounts."""


class Money(TypeDecorator[Decimal]):
    """Exact USD: `numeric` on PostgreSQL, an integer of billionths on SQLite, which has no decimals."""

    impl = Numeric(MONEY_DIGITS, MONEY_PLACES)
    cache_ok = True

    def __init__(self, digits: int = MONEY_DIGITS):
        """Set how many digits an amount may have, nine places after the point included."""
        super().__init__(digits, MONEY_PLACES)
        self.digits = digits

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the database at hand."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(Numeric(self.digits, MONEY_PLACES))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Turn USD into what the database stores."""
        if value is None or dialect.name != "sqlite":
            return value
        return int(value.scaleb(MONEY_PLACES).to_integral_value())

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Turn what the database stores into USD."""
        if value is None:
            return None
        return Decimal(value).scaleb(-MONEY_PLACES) if dialect.name == "sqlite" else Decimal(value)


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time: `timestamptz` on PostgreSQL, sortable text without a zone on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times, which could mean any zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("The ledger takes aware times only: give the time a time zone.")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 (the base class's signature)
    ) -> datetime | None:
        """Give every time back as aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


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
