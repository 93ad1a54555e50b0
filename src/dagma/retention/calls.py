"""Prunes the ledger's calls, and the raw responses that it keeps for retries."""

from dagma.ledger import Ledger
from dagma.ledger.pruning import CALLS_AT_ONCE, prune_expired
from dagma.retention.store_pruning import Pace, Pruned


def prune_ledger(ledger: Ledger, *, days: int, pace: Pace | None = None) -> Pruned:
    """Delete calls that are past their days. The totals of each flow and hour stay.

    Args:
        ledger: The ledger.
        days: For how many days calls are kept, 0 for ever. On PostgreSQL the database goes by the number that its
            owner wrote there at the last migration.
        pace: How hard and how long it works.

    Raises:
        LedgerError: The database can't be reached, or refuses.
    """
    pace = pace or Pace()
    replays = ledger.expire_replays()
    calls = 0
    while days and pace.goes_on():
        deleted = prune_expired(ledger.database, days)
        calls += deleted
        if deleted < CALLS_AT_ONCE:
            break
    return Pruned({"calls": calls, "raw responses": replays}, kept_for_ever=not days, is_complete=not pace.is_over)
