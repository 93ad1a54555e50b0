"""Who is sending a call right now: a mark that the operating system or the server takes away when its holder dies.

A direct call that has begun and not ended is either in the hands of a caller that lives, and must not be sent again,
or of one that died, and its outcome is unknown. No clock can tell these apart for certain, so each such call is held
by a lock that ends with its holder: on PostgreSQL a session's advisory lock, on SQLite a lock on a file beside it.
"""

import fcntl
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dagma.ledger.database import POSTGRES_CONNECT_ARGS, STATEMENT_SECONDS, Database

PING = text("SELECT 1")
LOCK = text("SELECT pg_advisory_lock(:lock)")
UNLOCK = text("SELECT pg_advisory_unlock(:lock)")
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


class Presence(Protocol):
    """Marks calls as being sent, and asks for such marks."""

    def hold(self, call_id: str) -> None:
        """Mark a call as being sent by this process, until `release` or the process's death.

        Args:
            call_id: The ledger's id of the call.
        """

    def release(self, call_id: str) -> None:
        """Take this process's mark away, if there is one; never fails.

        Args:
            call_id: The ledger's id of the call.
        """

    def is_mine(self, call_id: str) -> bool:
        """Tell whether this process marks the call, without asking anybody.

        Args:
            call_id: The ledger's id of the call.
        """

    def is_held(self, call_id: str, connection: Connection) -> bool:
        """Tell whether anybody alive marks the call.

        Args:
            call_id: The ledger's id of the call.
            connection: A connection to the ledger's database, in a transaction.

        Returns:
            Whether somebody does.
        """


def presence_for(database: Database) -> Presence:
    """Choose the kind of lock that fits the database.

    Args:
        database: The ledger's database.

    Returns:
        Locks on files beside an SQLite database, advisory locks on PostgreSQL.
    """
    return FilePresence(Path(f"{database.url.database}.live")) if database.is_sqlite else SessionPresence(database)


class FilePresence:
    """One locked file per call that is being sent. The kernel unlocks it when the process dies."""

    def __init__(self, folder: Path):
        """Keep the files in a folder, which is made at first use.

        Args:
            folder: Where the files are; local to the machine, as an SQLite database is.
        """
        self._folder = folder
        self._held: dict[str, int] = {}
        _presences.add(self)

    def hold(self, call_id: str) -> None:
        """Create the call's file and lock it, once."""
        if call_id in self._held:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path(call_id), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        self._held[call_id] = handle

    def release(self, call_id: str) -> None:
        """Remove the call's file and unlock it."""
        handle = self._held.pop(call_id, None)
        if handle is not None:
            self._path(call_id).unlink(missing_ok=True)
            os.close(handle)

    def is_mine(self, call_id: str) -> bool:
        """Look among the files that this process has locked."""
        return call_id in self._held

    def is_held(self, call_id: str, connection: Connection) -> bool:  # noqa: ARG002 (the protocol's shape)
        """Try the lock; a file that nobody locks belonged to a dead process and is removed."""
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

        Args:
            database: The ledger's PostgreSQL database. A pooler between keeps sessions apart (PgBouncer: session mode).
        """
        self._database = database
        self._session: Connection | None = None
        self._held: set[str] = set()
        self._mutex = threading.Lock()
        _presences.add(self)

    def hold(self, call_id: str) -> None:
        """Take the call's lock, over a new connection if the old one broke."""
        with self._mutex:
            # The server counts how often a session takes a lock: it is asked once, and then only whether it lives.
            statement = PING if call_id in self._held else LOCK
            self._held.add(call_id)
            if self._session is not None and not self._session.invalidated:
                with suppress(DBAPIError), self._ended_by_errors(self._session) as session:
                    session.execute(statement, {} if statement is PING else {"lock": _lock_number(call_id)})
                    return
            self._open_session()

    def release(self, call_id: str) -> None:
        """Give the call's lock back; a broken connection has done so already."""
        with self._mutex:
            if call_id not in self._held:
                return
            self._held.discard(call_id)
            if self._session is not None:
                with suppress(DBAPIError), self._ended_by_errors(self._session) as session:
                    session.execute(UNLOCK, {"lock": _lock_number(call_id)})

    def is_mine(self, call_id: str) -> bool:
        """Look among the locks that this process has taken."""
        return call_id in self._held

    def is_held(self, call_id: str, connection: Connection) -> bool:
        """Try the lock, for the rest of the asking transaction."""
        return not connection.scalar(TRY_LOCK, {"lock": _lock_number(call_id)})

    def _open_session(self) -> None:
        self._session = None
        self._session = self._connect()
        with self._ended_by_errors(self._session) as session:
            for name, value in SESSION_SETTINGS.items():
                session.execute(CONFIGURE, {"name": name, "value": value})
            # The locks of the calls in flight went with the old connection.
            for call_id in self._held:
                session.execute(LOCK, {"lock": _lock_number(call_id)})

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


_presences: "weakref.WeakSet[FilePresence | SessionPresence]" = weakref.WeakSet()


def _lock_number(call_id: str) -> int:
    return int(call_id[-LOCK_DIGITS:], 16)


def _forget_all_after_fork() -> None:
    for presence in list(_presences):
        presence._forget_after_fork()


os.register_at_fork(after_in_child=_forget_all_after_fork)
