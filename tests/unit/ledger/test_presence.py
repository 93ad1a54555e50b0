"""The session that marks calls, over a database that knows advisory locks by name only."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from dagma.ledger.database import Database
from dagma.ledger.live_callers import SessionPresence

FIRST, SECOND = "1" * 32, "2" * 32


class Interrupted(BaseException):
    """What a cancel raises wherever the step is."""


class Server:
    """Sessions that note which locks they hold, and statements that end as the test says."""

    def __init__(self) -> None:
        self.locks: list[set[int]] = []
        self.engines: list[Engine] = []
        self.fails_with: BaseException | None = None

    def connect(self) -> Any:
        locks: set[int] = set()
        self.locks.append(locks)
        engine = create_engine("sqlite://", poolclass=StaticPool, isolation_level="AUTOCOMMIT")
        self.engines.append(engine)

        @event.listens_for(engine, "connect")
        def know_locks(connection: Any, _record: Any) -> None:
            connection.create_function("pg_advisory_lock", 1, locks.add)
            connection.create_function("pg_advisory_unlock", 1, locks.discard)
            connection.create_function("set_config", 3, lambda _name, value, _local: value)

        @event.listens_for(engine, "close")
        @event.listens_for(engine, "invalidate")
        def lose_locks(*_: Any) -> None:
            locks.clear()

        @event.listens_for(engine, "do_execute")
        def end_as_told(*_: Any) -> None:
            if self.fails_with is not None:
                error, self.fails_with = self.fails_with, None
                raise error

        return engine.connect()

    @property
    def held(self) -> list[int]:
        return sorted(lock >> 56 for locks in self.locks for lock in locks)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    for engine in server.engines:
        engine.dispose()


@pytest.fixture
def presence(server: Server, monkeypatch: pytest.MonkeyPatch) -> SessionPresence:
    presence = SessionPresence(Database("postgresql://db/dagma"))
    monkeypatch.setattr(presence, "_connect", server.connect)
    return presence


ACTIONS: dict[str, Callable[[SessionPresence], None]] = {
    "hold": lambda presence: presence.hold(SECOND),
    "hold again": lambda presence: presence.hold(FIRST),
    "release": lambda presence: presence.release(FIRST),
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_an_interrupt_in_a_statement_ends_the_session_and_the_next_call_opens_another(
    server: Server, presence: SessionPresence, action: Callable[[SessionPresence], None]
) -> None:
    presence.hold(FIRST)
    server.fails_with = Interrupted()
    with pytest.raises(Interrupted):
        action(presence)
    assert server.held == []
    for call_id in (FIRST, SECOND):
        presence.release(call_id)
    presence.hold(SECOND)
    assert server.held == [2]


def test_an_interrupt_in_the_first_statement_leaves_no_session_behind(
    server: Server, presence: SessionPresence
) -> None:
    server.fails_with = Interrupted()
    with pytest.raises(Interrupted):
        presence.hold(FIRST)
    presence.hold(SECOND)
    assert len(server.locks) == 2
    assert server.locks[0] == set()


def test_a_session_that_broke_is_replaced_with_the_locks_of_all_calls_in_flight(
    server: Server, presence: SessionPresence
) -> None:
    presence.hold(FIRST)
    server.fails_with = OperationalError("SELECT", {}, Exception("server closed the connection"))
    presence.hold(SECOND)
    assert (len(server.locks), server.held) == (2, [1, 2])


def test_a_session_that_was_invalidated_elsewhere_is_replaced(server: Server, presence: SessionPresence) -> None:
    presence.hold(FIRST)
    assert presence._session is not None
    presence._session.invalidate()
    presence.hold(SECOND)
    assert (len(server.locks), server.held) == (2, [1, 2])


def test_a_session_that_replaces_another_takes_no_lock_of_a_call_that_has_ended(
    server: Server, presence: SessionPresence
) -> None:
    presence.hold(FIRST)
    presence.release(FIRST)
    assert server.held == []
    assert presence._session is not None
    presence._session.invalidate()
    presence.hold(SECOND)
    assert (len(server.locks), server.held) == (2, [2])
