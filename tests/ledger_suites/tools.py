"""Calls, clocks and processes for the ledger's tests."""

import os
import signal
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2 import extensions
from sqlalchemy import event

from dagma.ledger import Call, Ledger, input_hash

NOON = datetime(2026, 3, 10, 12, 20, tzinfo=UTC)
MakeLedger = Callable[..., Ledger]


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime = NOON):
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **parts: float) -> None:
        self.now += timedelta(**parts)


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
