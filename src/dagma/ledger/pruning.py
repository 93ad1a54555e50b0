"""For how many days calls are kept, and the deletion of those that are older."""

from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, text

from dagma import environment
from dagma.ledger.database import Database
from dagma.ledger.tables import calls

MINIMUM_DAYS = 30
"""The database itself refuses to delete younger calls: see `guards_postgresql.sql`."""
DEFAULT_DAYS = 400
CALLS_AT_ONCE = 2000
PRUNE_EXPIRED = text("SELECT ledger_prune_expired(:most)")


def keep_days_from_environment() -> int:
    """Read `DAGMA_RETENTION_LEDGER_DAYS`: for how many days calls are kept, 0 for ever.

    Raises:
        SettingError: It is no such number.
    """
    return environment.days("DAGMA_RETENTION_LEDGER_DAYS", DEFAULT_DAYS, least=MINIMUM_DAYS)


def prune_expired(database: Database, keep_days: int, most: int = CALLS_AT_ONCE) -> int:
    """Delete the oldest calls past their days, with replays and rejections, and return how many. Hourly totals stay.

    On PostgreSQL the application's role may do so: the database goes by the days that the tables' owner wrote when it
    migrated, whatever the application says.

    Args:
        database: The ledger's database.
        keep_days: How many days to keep on SQLite, where the application owns the file; 0 for ever.
        most: How many calls to delete at most.

    Raises:
        LedgerUnavailableError: The database can't be reached, or refuses.
    """
    if not database.is_sqlite:
        deleted = database.transact(lambda connection: connection.scalar(PRUNE_EXPIRED, {"most": most}))
        return int(deleted or 0)
    if not keep_days:
        return 0
    oldest = select(calls.c.id).where(calls.c.begun_at < _days_ago(keep_days)).order_by(calls.c.begun_at).limit(most)
    return database.transact(
        lambda connection: connection.execute(delete(calls).where(calls.c.id.in_(oldest))).rowcount
    )


def _days_ago(days: int) -> ColumnElement[Any]:
    return func.strftime("%Y-%m-%d %H:%M:%f", "now", f"-{days} days")
