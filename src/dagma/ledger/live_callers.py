"""Who is sending a call right now: a mark that the operating system or the server takes away when its holder dies.

A direct call that has begun and not ended is either in the hands of a caller that lives, and must not be sent again,
or of one that died, and its outcome is unknown. No clock can tell these apart for certain, so each such call is held
by a lock that ends with its holder: on PostgreSQL a session's advisory lock, on SQLite a lock on a file beside it.
"""

import fcntl
import os
import threading
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dagma.ledger.database import POSTGRES_CONNECT_ARGS, STATEMENT_SECONDS, Database

LOCK, UNLOCK = "pg_advisory_lock", "pg_advisory_unlock"
TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
CONFIGURE = text("SELECT set_config(:name, :value, false)")
# 60 bits of the random id: they fit PostgreSQL's bigint, and two processes never share them in practice.
LOCK_DIGITS = 15
SESSION_SETTINGS = {
    # The server notices within half a minute when this machine vanishes without a word.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # It never ends the session for having nothing to say.
    "idle_session_timeout": "0",
    # A lock that a session of this process left behind goes before this.
    "statement_timeout": f"{STATEMENT_SECONDS}s",
}


class FilePresence:
    """One locked file per call that is being sent. The kernel unlocks it when the process dies."""

    def __init__(self, folder: Path):
        """Keep the files in a folder of this machine, which is made at first use."""
        self._folder = folder
        self._held: dict[str, int] = {}
        _presences.add(self)

    def hold(self, *call_ids: str) -> None:
        """Mark calls as being sent by this process, until `release` or its death: create and lock the file of each."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for call_id in call_ids:
            if call_id in self._held:
                continue
            handle = os.open(self._path(call_id), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._held[call_id] = handle

    def release(self, *call_ids: str) -> None:
        """Remove the calls' files and unlock them, where this process has any; never fails."""
        for call_id in call_ids:
            handle = self._held.pop(call_id, None)
            if handle is not None:
                self._path(call_id).unlink(missing_ok=True)
                os.close(handle)

    def is_mine(self, call_id: str) -> bool:
        """Tell whether this process marks the call, without asking anybody."""
        return call_id in self._held

    def is_held(self, call_id: str, connection: Connection) -> bool:  # noqa: ARG002 (as `SessionPresence` has it)
        """Tell whether anybody alive marks the call; a file that nobody locks was a dead process's, and is removed."""
        try:
            handle = os.open(self._path(call_id), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            self._path(call_id).unlink(missing_ok=True)
            return False
        finally:
            os.close(handle)

    def _path(self, call_id: str) -> Path:
        return self._folder / f"{call_id}.lock"

    def _forget_after_fork(self) -> None:
        # Closing a copy does not unlock, and a copy that stays open would keep the lock beyond the parent's death.
        for handle in self._held.values():
            os.close(handle)
        self._held.clear()


class SessionPresence:
    """Advisory locks, all held by one connection of this process. The server drops them when the connection ends."""

    def __init__(self, database: Database):
        """Remember the database; the connection is opened at the first hold.

        A pooler between has to keep sessions apart (PgBouncer: session mode).
        """
        self._database = database
        self._session: Connection | None = None
        self._held: set[str] = set()
        self._mutex = threading.Lock()
        _presences.add(self)

    def hold(self, *call_ids: str) -> None:
        """Mark calls as being sent by this process, until `release` or its death.

        The locks are taken over a new connection if the old one broke.
        """
        with self._mutex:
            # The server counts how often a session takes a lock: it is asked once, and then only whether it lives.
            new = set(call_ids) - self._held
            self._held |= new
            if self._session is not None and not self._session.invalidated:
                with suppress(DBAPIError), self._ended_by_errors(self._session) as session:
                    _call_each(LOCK, new, session)
                    return
            self._open_session()

    def release(self, *call_ids: str) -> None:
        """Give the calls' locks back, where this process has any; never fails.

        A broken connection has given them back already.
        """
        with self._mutex:
            released = self._held.intersection(call_ids)
            self._held -= released
            if released and self._session is not None:
                with suppress(DBAPIError), self._ended_by_errors(self._session) as session:
                    _call_each(UNLOCK, released, session)

    def is_mine(self, call_id: str) -> bool:
        """Tell whether this process marks the call, without asking anybody."""
        return call_id in self._held

    def is_held(self, call_id: str, connection: Connection) -> bool:
        """Tell whether anybody alive marks the call; else its lock is the asking transaction's until that ends."""
        return not connection.scalar(TRY_LOCK, {"lock": _lock_number(call_id)})

    def _open_session(self) -> None:
        self._session = None
        self._session = self._connect()
        with self._ended_by_errors(self._session) as session:
            for name, value in SESSION_SETTINGS.items():
                session.execute(CONFIGURE, {"name": name, "value": value})
            # The old connection's locks went with it.
            _call_each(LOCK, self._held, session)

    @contextmanager
    def _ended_by_errors(self, session: Connection) -> Iterator[Connection]:
        """End the session with whatever interrupts a statement, a cancel included: it may be broken, or hold a lock."""
        try:
            yield session
        except BaseException:
            self._session = None
            with suppress(Exception):
                session.invalidate()
                session.close()
            raise

    def _connect(self) -> Connection:
        engine = create_engine(
            self._database.url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args=POSTGRES_CONNECT_ARGS,
            hide_parameters=True,
        )
        return engine.connect()

    def _forget_after_fork(self) -> None:
        self._mutex = threading.Lock()
        self._held.clear()
        if self._session is not None:
            # Take this copy of the socket away without closing the session, which is the parent's.
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, self._session.connection.driver_connection.fileno())  # type: ignore[union-attr]
            os.close(null)
        self._session = None


Presence = FilePresence | SessionPresence
"""Marks calls as being sent by this process, and tells whether anybody marks one."""

_presences: "weakref.WeakSet[Presence]" = weakref.WeakSet()


def presence_for(database: Database) -> Presence:
    """Choose the locks that fit the database: files beside an SQLite database, advisory locks on PostgreSQL."""
    return FilePresence(Path(f"{database.url.database}.live")) if database.is_sqlite else SessionPresence(database)


def _call_each(function: str, call_ids: Collection[str], session: Connection) -> None:
    """Take the locks of calls, or give them back, in one statement; of none, only ask whether the session lives."""
    invocations = ", ".join(f"{function}({_lock_number(call_id)})" for call_id in call_ids)
    session.exec_driver_sql(f"SELECT {invocations or 1}")


def _lock_number(call_id: str) -> int:
    return int(call_id[-LOCK_DIGITS:], 16)


def _forget_all_after_fork() -> None:
    for presence in list(_presences):
        presence._forget_after_fork()


os.register_at_fork(after_in_child=_forget_all_after_fork)
