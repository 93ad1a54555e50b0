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
        self.has_something_to_say = False

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
    monkeypatch.setattr("dagma.ledger.live_callers._has_something_to_say", lambda _: server.has_something_to_say)
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


def test_the_lock_of_a_call_whose_end_is_recorded_goes_to_the_next_call(
    server: Server, presence: SessionPresence
) -> None:
    presence.hold(FIRST)
    presence.ended(FIRST)
    presence.release(FIRST)  # as every caller does at its end
    call_id = presence.new_id()
    assert call_id != FIRST
    assert len(call_id) == 32
    server.fails_with = Interrupted()
    presence.hold(call_id)
    assert server.fails_with is not None, "the server was asked"
    server.fails_with = None
    assert server.held == [1]
    presence.release(call_id)
    assert server.held == []


def test_a_lock_is_given_to_one_call_at_a_time(server: Server, presence: SessionPresence) -> None:
    presence.hold(FIRST)
    presence.ended(FIRST)
    calls = [presence.new_id() for _ in range(3)]
    for call_id in calls:
        presence.hold(call_id)
    assert len(server.locks[0]) == 3
    for held, call_id in enumerate(calls):
        assert len(server.locks[0]) == 3 - held
        presence.release(call_id)


def test_a_lock_that_was_not_needed_goes_to_another_call(server: Server, presence: SessionPresence) -> None:
    presence.hold(FIRST)
    presence.ended(FIRST)
    presence.release(presence.new_id())
    presence.hold(presence.new_id())
    assert server.held == [1]


def test_a_call_that_gets_a_lock_of_a_session_that_broke_locks_it_in_the_next(
    server: Server, presence: SessionPresence
) -> None:
    presence.hold(FIRST)
    presence.ended(FIRST)
    call_id = presence.new_id()
    server.has_something_to_say = True
    server.fails_with = OperationalError("SELECT", {}, Exception("server closed the connection"))
    presence.hold(call_id)
    assert (len(server.locks), server.locks[0], server.held) == (2, set(), [1])


def test_a_session_that_is_told_something_else_is_kept(server: Server, presence: SessionPresence) -> None:
    presence.hold(FIRST)
    presence.ended(FIRST)
    server.has_something_to_say = True
    presence.hold(presence.new_id())
    assert (len(server.locks), server.held) == (1, [1])


def test_a_call_that_was_named_before_the_session_broke_locks_in_the_next(
    server: Server, presence: SessionPresence
) -> None:
    presence.hold(FIRST)
    presence.ended(FIRST)
    call_id = presence.new_id()
    server.fails_with = OperationalError("SELECT", {}, Exception("server closed the connection"))
    presence.hold(SECOND)
    assert (len(server.locks), server.held) == (2, [2])
    presence.hold(call_id)
    assert server.held == [1, 2]


def test_a_session_that_replaces_another_takes_no_lock_of_a_call_that_has_ended(
    server: Server, presence: SessionPresence
) -> None:
    presence.hold(FIRST)
    presence.ended(FIRST)
    assert presence._session is not None
    presence._session.invalidate()
    presence.hold(SECOND)
    assert (len(server.locks), server.held) == (2, [2])
    presence.hold(presence.new_id())
    assert len(server.locks[1]) == 2
    assert 1 not in server.held
