"""What the ledger drops after a while."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, text

from dagma.ledger.database import Database
from dagma.ledger.errors import LedgerSettingsError
from dagma.ledger.tables import calls

MINIMUM_DAYS = 30
"""The database itself refuses to delete younger calls: see `migrations/`."""
MAXIMUM_DAYS = 36_500
DEFAULT_DAYS = 400
MAY_DELETE = text("SELECT has_table_privilege('calls', 'DELETE')")


def prune_calls(database: Database, keep_days: int) -> int:
    """Delete calls that began longer ago, with their replays and rejections. Hourly totals stay.

    Args:
        database: The ledger's database, on PostgreSQL as the owner of its tables.
        keep_days: How many days to keep, from 30 to 36,500.

    Returns:
        How many calls were deleted.

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
            old: ColumnElement[Any] = func.strftime("%Y-%m-%d %H:%M:%f", "now", f"-{keep_days} days")
        else:
            if not connection.scalar(MAY_DELETE):
                raise LedgerSettingsError(
                    "The application's role may not delete calls: only the owner of the tables prunes. Set "
                    "DAGMA_LEDGER_OWNER_URL; in the stack: docker compose run --rm ledger-migrate dagma ledger prune"
                )
            old = func.now() - func.make_interval(0, 0, 0, keep_days)
        return connection.execute(delete(calls).where(calls.c.begun_at < old)).rowcount

    return database.transact(work, may_take_long=True)
