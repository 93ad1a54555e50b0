"""What a call leaves in PostgreSQL, and what becomes of connections that break."""

import time

import pytest
from ledger_suites.tools import MakeLedger, new_call
from sqlalchemy import create_engine, text
from stack.ledger_fixtures import LedgerPostgres

from dagma.ledger import Call, Ledger, LedgerUnavailableError
from dagma.ledger import database as database_module

UPDATES = text(
    "SELECT n_tup_upd AS of_calls, n_tup_hot_upd AS in_place FROM pg_stat_user_tables WHERE relname = 'calls'"
)
LOCKS = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")


def make(ledger: Ledger, call: Call) -> None:
    begun = ledger.begin(call)
    if call.mode == "job":
        ledger.submitted(begun, "job-1")
    ledger.finish(begun, raw={"text": "Paris"})


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


def test_locks_of_calls_that_have_ended_do_not_pile_up(
    make_ledger: MakeLedger, ledger_postgres: LedgerPostgres
) -> None:
    ledger = make_ledger()
    for step in "abcde":
        make(ledger, new_call(step=step))
    with ledger.database.read() as connection:
        assert connection.scalar(LOCKS) == 0
