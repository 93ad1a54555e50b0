"""Who is sending a call right now: a lock that the operating system or the server takes away when its holder dies.

A direct call that has begun and not ended is either in the hands of a caller that lives, and must not be sent again,
or of one that died, and its outcome is unknown. No clock can tell these apart for certain. So the ids of calls end with
the number of the process that begins them, and that number is locked for as long as the process lives: on PostgreSQL by
each of its connections (see `Database`), on SQLite by a file beside the database. A call whose caller has died is
recorded as lost by its retry.
"""

import atexit
import fcntl
import os
import uuid
from datetime import datetime
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text

from dagma.ledger.database import CALLER_DIGITS, Database, this_caller
from dagma.ledger.state_changes import change

IS_LOCKED = text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND classid = :high"
    " AND objid = :low AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)

_sending: set[str] = set()
"""The calls that this process is sending."""


class Presence:
    """Marks calls as being sent by this process, and tells whether anybody alive sends one.

    Args:
        database: The ledger's. A pooler before PostgreSQL has to keep sessions apart (PgBouncer: session mode).
    """

    def __init__(self, database: Database):
        self._is_sqlite = database.is_sqlite
        self._folder = Path(f"{database.url.database}.live")

    def new_id(self) -> str:
        """Make the id of a call that this process begins."""
        return uuid.uuid4().hex[:-CALLER_DIGITS] + this_caller()

    def hold(self, *call_ids: str) -> None:
        """Mark calls as being sent by this process, until `release` or its death."""
        if self._is_sqlite:
            _locked_file(self._folder, this_caller())
        _sending.update(call_ids)

    def release(self, *call_ids: str) -> None:
        """Let go of calls, where this process has any of them."""
        _sending.difference_update(call_ids)

    def is_mine(self, call_id: str) -> bool:
        """Tell whether this process marks the call, without asking anybody."""
        return call_id in _sending

    def is_held(self, call_id: str, connection: Connection) -> bool:
        """Tell whether a caller that is alive may be sending the call."""
        caller = call_id[-CALLER_DIGITS:]
        if caller == this_caller():
            return call_id in _sending
        if self._is_sqlite:
            return _is_locked(self._folder / caller)
        high, low = divmod(int(caller, 16), 2**32)
        return bool(connection.scalar(IS_LOCKED, {"high": high, "low": low}))


def record_lost(connection: Connection, call_id: str, now: datetime) -> None:
    """Record that a direct call's caller died before it told the end."""
    change(connection, call_id, {"state": "unknown", "error_class": "CallerLost"}, ("begun",), now)


@cache
def _locked_file(folder: Path, caller: str) -> int:
    """Create and lock the file of this process. The kernel unlocks it when the process ends; no fork inherits that."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / caller
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.lockf(handle, fcntl.LOCK_EX)
    atexit.register(file.unlink, missing_ok=True)
    return handle


def _is_locked(file: Path) -> bool:
    """Tell whether another process locks a file; one that nobody locks was a dead process's, and is removed."""
    try:
        handle = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        file.unlink(missing_ok=True)
        return False
    finally:
        os.close(handle)
