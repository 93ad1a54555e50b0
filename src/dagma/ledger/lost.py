"""Direct calls whose callers died: nobody can tell any more how they ended."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select, update

from dagma.ledger.columns import UtcTime
from dagma.ledger.presence import Presence
from dagma.ledger.tables import BEGUN, calls

# Whether a caller lives is no question of time. The youngest are left out because most of them are in good hands.
LOST_MINUTES = 10
AT_A_TIME = 100
OLD_CALLS = (
    select(calls.c.id)
    .where(BEGUN, calls.c.mode == "direct", calls.c.begun_at < bindparam("before", type_=UtcTime))
    .order_by(calls.c.begun_at)
    .limit(AT_A_TIME)
    .with_for_update(skip_locked=True)
)


def record_lost(connection: Connection, call_id: str, now: datetime) -> None:
    """Record that a direct call's caller died before it told the end.

    Args:
        connection: In a transaction.
        call_id: The ledger's id of the call.
        now: The time.
    """
    lost = {"state": "unknown", "error_class": "CallerLost", "finished_at": now}
    connection.execute(update(calls).where(calls.c.id == call_id, calls.c.state == "begun").values(lost))


def record_all_lost(connection: Connection, presence: Presence, now: datetime) -> None:
    """Record it for calls that no retry asks for; a hundred of them at most.

    Args:
        connection: In a transaction.
        presence: Tells which callers live.
        now: The time.
    """
    before = now - timedelta(minutes=LOST_MINUTES)
    for call_id in connection.execute(OLD_CALLS, {"before": before}).scalars().all():
        if not presence.is_held(call_id, connection):
            record_lost(connection, call_id, now)
