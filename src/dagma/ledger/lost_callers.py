"""Direct calls whose callers died: nobody can tell any more how they ended."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, func, select, update

from dagma.ledger.live_callers import Presence
from dagma.ledger.state_changes import change
from dagma.ledger.tables import UtcTime, calls, housekeeping

# Whether a caller lives is no question of time. The youngest are left out because most of them are in good hands.
LOST_MINUTES = 10
# As far as the clock may be set back.
LOOK_BACK = timedelta(hours=1)
AT_A_TIME = 100
LOOKED_UNTIL = select(housekeeping.c.lost_until).with_for_update(skip_locked=True)
OLD_DIRECT = and_(
    calls.c.state == "begun",
    calls.c.mode == "direct",
    calls.c.begun_at >= bindparam("since", type_=UtcTime),
    calls.c.begun_at < bindparam("before", type_=UtcTime),
)
OLD_CALLS = (
    select(calls.c.id).where(OLD_DIRECT).order_by(calls.c.begun_at).limit(AT_A_TIME).with_for_update(skip_locked=True)
)
OLDEST_LEFT = select(func.min(calls.c.begun_at, type_=UtcTime)).where(OLD_DIRECT)


def record_lost(connection: Connection, call_id: str, now: datetime) -> None:
    """Record that a direct call's caller died before it told the end."""
    change(connection, call_id, {"state": "unknown", "error_class": "CallerLost"}, ("begun",), now)


def record_all_lost(connection: Connection, presence: Presence, now: datetime) -> None:
    """Record it for calls that no retry asks for; a hundred of them at most.

    Which calls have ended is in no index: an index of what changes at a call's end would make each end twice as much
    work for PostgreSQL. Instead all processes look at each time of the table once, as `housekeeping` remembers.

    Args:
        connection: In a transaction.
        presence: Tells which callers live.
        now: The time by the clock that calls are timed by.
    """
    looked_until = connection.scalar(LOOKED_UNTIL)
    if looked_until is None:  # another process is looking
        return
    before = now - timedelta(minutes=LOST_MINUTES)
    times = {"since": min(looked_until, before) - LOOK_BACK, "before": before}
    for call_id in connection.execute(OLD_CALLS, times).scalars().all():
        if not presence.is_held(call_id, connection):
            record_lost(connection, call_id, now)
    # Calls that their callers still hold are looked at again.
    oldest = connection.scalar(OLDEST_LEFT, times) or before
    connection.execute(update(housekeeping).where(housekeeping.c.lost_until < oldest).values(lost_until=oldest))
