"""Prunes the ledger's calls, and the raw responses that it keeps for retries."""

from dagma.ledger import Ledger
from dagma.ledger.pruning import prune_expired


def prune_ledger(ledger: Ledger, *, days: int) -> dict[str, int]:
    """Delete calls that are past their days, and return how many. The totals of each flow and hour stay.

    Args:
        ledger: The ledger.
        days: For how many days calls are kept, 0 for ever. On PostgreSQL the database goes by the number that its
            owner wrote there at the last migration.

    Raises:
        LedgerError: The database can't be reached, or refuses.
    """
    replays, calls = ledger.expire_replays(), 0
    while days and (deleted := prune_expired(ledger.database, days)):
        calls += deleted
    return {"calls": calls, "raw responses": replays}
