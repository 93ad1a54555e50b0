"""What a call says to PostgreSQL, each message of which it waits for, and what becomes of connections that break."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from ledger_suites.tools import MakeLedger, new_call, watch_statements
from sqlalchemy import Connection, create_engine, event, func, insert, select, text
from stack.ledger_fixtures import (
    LedgerPostgres,
    ledger_postgres,
    ledger_postgres_url,
    ledger_server,
    ledger_url,
    make_ledger,
)

from dagma.ledger import Call, CallInFlightError, Ledger, LedgerUnavailableError, Usage
from dagma.ledger import database as database_module
from dagma.ledger.reports import Filter, last_calls
from dagma.ledger.tables import rejections, replays

__all__ = ["ledger_postgres", "ledger_postgres_url", "ledger_server", "ledger_url", "make_ledger"]

TERMINATE = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
UPDATES = text(
    "SELECT n_tup_upd AS of_calls, n_tup_hot_upd AS in_place FROM pg_stat_user_tables WHERE relname = 'calls'"
)
LOCKS = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")


def make(ledger: Ledger, call: Call) -> None:
    begun = ledger.begin(call)
    if call.mode == "job":
        ledger.submitted(begun, "job-1")
    ledger.finish(begun, raw={"text": "Paris"})


@pytest.mark.parametrize(
    ("mode", "statements"), [("direct", ["EXECUTE", "EXECUTE"]), ("job", ["EXECUTE", "UPDATE", "EXECUTE"])]
)
def test_a_call_takes_one_statement_a_step_and_no_transaction_around_it(
    make_ledger: MakeLedger, mode: Any, statements: list[str]
) -> None:
    ledger = make_ledger()
    make(ledger, new_call(mode=mode, step="warm-up"))
    said: list[str] = []

    watch_statements(ledger, lambda statement: said.append(statement.split()[0]))
    if mode == "direct":
        session = ledger._presence._session  # type: ignore[union-attr]
        assert session is not None
        event.listen(session.engine, "before_cursor_execute", lambda *_: said.append("of the lock"))
    make(ledger, new_call(mode=mode))
    assert said == statements


def test_a_connection_that_commits_by_itself_goes_back_to_transactions(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    begun = ledger.begin(new_call())
    ledger.finish(begun, raw={"text": "Paris"})

    def reject_and_fail(connection: Connection) -> None:
        connection.execute(insert(rejections).values(call_id=begun.call_id))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.database.transact(reject_and_fail)
    assert ledger.database.transact(lambda connection: connection.scalar(select(func.count(replays.c.call_id)))) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda ledger: ledger.begin(new_call(step="after")),
        lambda ledger: ledger.database.transact(lambda connection: connection.execute(text("SELECT 1"))),
        lambda ledger: last_calls(ledger.database, 10, Filter()),
    ],
    ids=["one statement", "a transaction", "a report"],
)
def test_connections_that_broke_meanwhile_cost_nobody_anything(
    make_ledger: MakeLedger, ledger_postgres: LedgerPostgres, use: Callable[[Ledger], object]
) -> None:
    ledger = make_ledger(patience_seconds=0)
    make(ledger, new_call())
    terminate_connections(ledger_postgres)
    use(ledger)


def terminate_connections(postgres: LedgerPostgres) -> None:
    other = create_engine(postgres.app_url)
    with other.connect() as connection:
        assert connection.execute(TERMINATE).all()
    other.dispose()


def test_a_session_that_was_reset_is_not_used_again(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(patience_seconds=0)
    make(ledger, new_call())
    with ledger.database.engine.connect() as connection:
        connection.exec_driver_sql("DEALLOCATE ALL")
    make(ledger, new_call(step="after"))
    assert [row["state"] for row in last_calls(ledger.database, 10, Filter())] == ["answered", "answered"]


@pytest.mark.parametrize("breaks", [False, True])
def test_a_call_that_gets_the_lock_of_one_before_is_marked_as_well(
    make_ledger: MakeLedger, ledger_postgres: LedgerPostgres, breaks: bool
) -> None:
    ledger, call = make_ledger(), new_call()
    make(ledger, new_call(step="before"))
    if breaks:
        terminate_connections(ledger_postgres)
    begun = ledger.begin(call)
    with pytest.raises(CallInFlightError):
        make_ledger().begin(call)
    ledger.finish(begun, raw="Paris")
    assert make_ledger().begin(call).raw == "Paris"


def test_a_statement_that_the_server_gives_up_is_told_as_what_it_is(
    make_ledger: MakeLedger, ledger_postgres: LedgerPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "STATEMENT_SECONDS", 0.2)
    ledger = make_ledger(patience_seconds=0)
    make(ledger, new_call(mode="job"))
    other = create_engine(ledger_postgres.owner_url)
    with other.begin() as connection:
        connection.execute(text("LOCK TABLE calls"))
        with pytest.raises(LedgerUnavailableError, match="statement timeout") as raised:
            ledger.begin(new_call(mode="job"))
    other.dispose()
    assert "INSERT" not in str(raised.value)


def test_the_end_of_a_call_is_written_beside_its_beginning(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    for step in "abcdefgh":
        make(ledger, new_call(step=step))
    ledger.close()  # the server process counts at its end what it did
    deadline = time.monotonic() + 20
    with ledger.database.read() as connection:
        while (counted := connection.execute(UPDATES).one()).of_calls < 8 and time.monotonic() < deadline:
            time.sleep(0.1)
            connection.rollback()
    assert (counted.of_calls, counted.in_place) == (8, 8)


def test_a_flows_totals_are_written_only_where_they_change(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()

    def place() -> object:
        with ledger.database.read() as connection:
            return connection.scalar(text("SELECT ctid FROM usage_hours"))

    begun = ledger.begin(new_call(mode="job"))
    at_first = place()
    ledger.submitted(begun, "job-1")
    assert place() == at_first
    ledger.finish(begun, raw="Paris", usages=[Usage(input_tokens=20, output_tokens=8)])
    assert place() != at_first
    with ledger.database.read() as connection:
        assert connection.execute(text("SELECT calls, tokens FROM usage_hours")).one() == (1, 28)


def test_locks_of_calls_that_have_ended_do_not_pile_up(
    make_ledger: MakeLedger, ledger_postgres: LedgerPostgres
) -> None:
    ledger = make_ledger()
    for step in "abcde":
        make(ledger, new_call(step=step))
    with ledger.database.read() as connection:
        assert connection.scalar(LOCKS) == 1


class Interrupted(BaseException):
    """What a cancel raises wherever the step is."""


def test_a_connection_whose_work_was_interrupted_is_not_used_again(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    make(ledger, new_call())
    used: list[Any] = []

    def work(connection: Connection) -> None:
        used.append(connection.connection.driver_connection)
        if len(used) == 1:
            raise Interrupted

    with pytest.raises(Interrupted):
        ledger.database.transact(work, one_statement=True)
    ledger.database.transact(work, one_statement=True)
    assert used[0].closed
    assert used[1] is not used[0]
