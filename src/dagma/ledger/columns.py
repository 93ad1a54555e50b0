"""Column types that keep one meaning on PostgreSQL and on SQLite."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Numeric
from sqlalchemy.types import TypeDecorator, TypeEngine

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
