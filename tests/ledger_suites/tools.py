"""Calls, clocks and processes for the ledger's tests."""

import os
import signal
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2 import extensions
from sqlalchemy import NullPool, create_engine, event

from dagma.ledger import Call, Ledger, input_hash

NOON = datetime(2026, 3, 10, 12, 20, tzinfo=UTC)
MakeLedger = Callable[..., Ledger]
OWNERS: dict[str, str] = {}
"""By a PostgreSQL database's URL for the application, the owner's: who may set its time."""


class Clock:
    """A clock that stands until it is moved, and with it the time of the databases that were given to it."""

    def __init__(self, now: datetime = NOON):
        self._now = now
        self._owner_urls: set[str] = set()

    def __call__(self) -> datetime:
        return self._now

    @property
    def now(self) -> datetime:
        return self._now

    @now.setter
    def now(self, moment: datetime) -> None:
        self._now = moment
        for url in self._owner_urls:
            set_time(url, moment)

    def rule(self, ledger_url: str) -> None:
        """Make a database's time this clock's, where its time is its own."""
        if url := OWNERS.get(ledger_url):
            self._owner_urls.add(url)
            set_time(url, self._now)

    def advance(self, **parts: float) -> None:
        self.now += timedelta(**parts)


def set_time(owner_url: str, moment: datetime) -> None:
    """Replace the clock of a PostgreSQL ledger, which its owner alone may."""
    engine = create_engine(owner_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(1)")
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
            f"$$ SELECT timestamptz '{moment.isoformat()}' $$"
        )


def new_call(**changes: Any) -> Call:
    """A call that no other test has made."""
    text = changes.get("input_text", "What is the capital of France?")
    fields = {"flow_id": "flow-1", "input_hash": input_hash(text or ""), "scope": uuid.uuid4().hex, "input_text": text}
    return Call(**{**fields, **changes})


def in_child(work: Callable[[], int]) -> int:
    """Fork, do work in the child, and give its exit code, or minus the signal that killed it."""
    return wait_for(start_child(work))


def start_child(work: Callable[[], int]) -> int:
    """Fork and do work in the child, which ends with the exit code that work returns."""
    pid = os.fork()
    if pid:
        return pid
    code = 97
    try:
        code = work()
    finally:
        os._exit(code)


def wait_for(pid: int) -> int:
    """Wait for a child's end and give its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die() -> None:
    """Die as by kill -9: no finally, no flush, no goodbye to the server."""
    os.kill(os.getpid(), signal.SIGKILL)


def watch_statements(
    ledger: Ledger, before: Callable[[str], object], after: Callable[[], object] = lambda: None
) -> None:
    """Tell of each statement, sent by SQLAlchemy or by the driver, and before each commit."""
    engine = ledger.database.engine
    event.listen(engine, "commit", lambda _: before("COMMIT"))
    if ledger.database.is_sqlite:
        event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: before(statement))
        event.listen(engine, "after_cursor_execute", lambda *_: after())
        return

    class Watched(extensions.cursor):
        def execute(self, query: Any, values: Any = None) -> None:
            before(query)
            super().execute(query, values)
            after()

    event.listen(engine, "checkout", lambda driver, *_: setattr(driver, "cursor_factory", Watched))
