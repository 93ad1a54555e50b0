"""What a call says to PostgreSQL, each message of which it waits for, and what becomes of connections that break."""

from collections.abc import Callable
from typing import Any

import pytest
from ledger_suites.tools import MakeLedger, new_call
from sqlalchemy import Connection, create_engine, delete, event, func, select, text
from stack.ledger_fixtures import (
    LedgerPostgres,
    ledger_postgres,
    ledger_postgres_url,
    ledger_server,
    ledger_url,
    make_ledger,
)

from dagma.ledger import Call, Ledger
from dagma.ledger.reports import Filter, last_calls
from dagma.ledger.tables import replays

__all__ = ["ledger_postgres", "ledger_postgres_url", "ledger_server", "ledger_url", "make_ledger"]

TERMINATE = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
LOCKS = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")


def make(ledger: Ledger, call: Call) -> None:
    begun = ledger.begin(call)
    if call.mode == "job":
        ledger.submitted(begun, "job-1")
    ledger.finish(begun, raw={"text": "Paris"})


@pytest.mark.parametrize(
    ("mode", "statements"), [("direct", ["INSERT", "WITH"]), ("job", ["INSERT", "UPDATE", "WITH"])]
)
def test_a_call_takes_one_statement_a_step_and_no_transaction_around_it(
    make_ledger: MakeLedger, mode: Any, statements: list[str]
) -> None:
    ledger = make_ledger()
    make(ledger, new_call(mode=mode, step="warm-up"))
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement.split()[0])

    event.listen(ledger.database.engine, "before_cursor_execute", note)
    event.listen(ledger.database.engine, "commit", lambda _: said.append("COMMIT"))
    make(ledger, new_call(mode=mode))
    assert said == statements


def test_a_connection_that_commits_by_itself_goes_back_to_transactions(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    make(ledger, new_call())

    def delete_and_fail(connection: Connection) -> None:
        connection.execute(delete(replays))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.database.transact(delete_and_fail)
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
    other = create_engine(ledger_postgres.app_url)
    with other.connect() as connection:
        assert connection.execute(TERMINATE).all()
    other.dispose()
    use(ledger)


def test_locks_of_calls_that_have_ended_do_not_pile_up(
    make_ledger: MakeLedger, ledger_postgres: LedgerPostgres
) -> None:
    ledger = make_ledger()
    for step in "abcde":
        make(ledger, new_call(step=step))
    with ledger.database.read() as connection:
        assert connection.scalar(LOCKS) == 1
