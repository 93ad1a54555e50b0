"""What the ledger drops after a while."""

from sqlalchemy import Connection, delete, func, select

from dagma.ledger.database import Database
from dagma.ledger.errors import LedgerSettingsError
from dagma.ledger.tables import calls

MINIMUM_DAYS = 30
"""The database itself refuses to delete younger calls: see `migrations/`."""
DEFAULT_DAYS = 400


def prune_calls(database: Database, keep_days: int) -> int:
    """Delete calls that began longer ago, with their replays and rejections. Hourly totals stay.

    Args:
        database: The ledger's database.
        keep_days: How many days to keep, at least 30.

    Returns:
        How many calls were deleted.

    Raises:
        LedgerSettingsError: Fewer than 30 days.
    """
    if keep_days < MINIMUM_DAYS:
        raise LedgerSettingsError(f"The audit log keeps calls for at least {MINIMUM_DAYS} days, not {keep_days}.")

    def work(connection: Connection) -> int:
        if database.is_sqlite:
            old = func.strftime("%Y-%m-%d %H:%M:%f", "now", f"-{keep_days} days")
            return connection.execute(delete(calls).where(calls.c.begun_at < old)).rowcount
        # A function of the owner's: the application's role itself may not delete.
        return int(connection.execute(select(func.ledger_prune(keep_days))).scalar_one())

    return database.transact(work, may_take_long=True)
