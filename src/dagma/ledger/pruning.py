"""What the ledger drops after a while."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select, text

from dagma import environment
from dagma.ledger.database import Database
from dagma.ledger.errors import LedgerSettingsError
from dagma.ledger.tables import calls, replays

MINIMUM_DAYS = 30
"""The database itself refuses to delete younger calls: see `migrations/`."""
MAXIMUM_DAYS = 36_500
DEFAULT_DAYS = 400
CALLS_AT_ONCE = 2000
MAY_DELETE = text("SELECT has_table_privilege('calls', 'DELETE')")
PRUNE_EXPIRED = text("SELECT ledger_prune_expired(:most)")
COUNT_EXPIRED = text(
    "SELECT count(*) FROM calls, retention WHERE keep_days > 0 AND begun_at < now() - make_interval(days => keep_days)"
)


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


def count_expired(database: Database, keep_days: int) -> int:
    """Count the calls that `prune_expired` would delete.

    Raises:
        LedgerUnavailableError: The database can't be reached.
    """
    with database.read() as connection:
        if not database.is_sqlite:
            return int(connection.scalar(COUNT_EXPIRED) or 0)
        if not keep_days:
            return 0
        expired = select(func.count()).select_from(calls).where(calls.c.begun_at < _days_ago(keep_days))
        return int(connection.scalar(expired) or 0)


def prune_calls(database: Database, keep_days: int) -> int:
    """Delete calls that began longer ago, with their replays and rejections, and return how many. Hourly totals stay.

    Args:
        database: The ledger's database, on PostgreSQL as the owner of its tables.
        keep_days: How many days to keep, from 30 to 36,500.

    Raises:
        LedgerSettingsError: Fewer or more days, or a role that may not delete.
    """
    if keep_days < MINIMUM_DAYS:
        raise LedgerSettingsError(f"The audit log keeps calls for at least {MINIMUM_DAYS} days, not {keep_days}.")
    if keep_days > MAXIMUM_DAYS:
        raise LedgerSettingsError(f"Calls can be kept for {MAXIMUM_DAYS} days at most, not {keep_days}.")

    def work(connection: Connection) -> int:
        # By the database's clock, which its guard of young calls goes by too.
        if database.is_sqlite:
            old = _days_ago(keep_days)
        else:
            if not connection.scalar(MAY_DELETE):
                raise LedgerSettingsError(
                    "The application's role may not delete calls: only the owner of the tables prunes. Set "
                    "DAGMA_LEDGER_OWNER_URL; in the stack: docker compose run --rm ledger-migrate dagma ledger prune"
                )
            old = func.now() - func.make_interval(0, 0, 0, keep_days)
        return connection.execute(delete(calls).where(calls.c.begun_at < old)).rowcount

    return database.transact(work, may_take_long=True)


def drop_replays(database: Database, keep_hours: float) -> int:
    """Delete raw responses that expired, and those that are older than some hours, and return how many.

    Args:
        database: The ledger's database, on PostgreSQL as the owner of its tables.
        keep_hours: How many hours to keep them, whatever the setting was when they came.
    """

    def work(connection: Connection) -> int:
        now = database.now(connection)
        old = or_(replays.c.expires_at < now, replays.c.created_at < now - timedelta(hours=keep_hours))
        return connection.execute(delete(replays).where(old)).rowcount

    return database.transact(work, may_take_long=True)


def _days_ago(days: int) -> ColumnElement[Any]:
    return func.strftime("%Y-%m-%d %H:%M:%f", "now", f"-{days} days")
