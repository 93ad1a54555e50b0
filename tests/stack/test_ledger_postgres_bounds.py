"""How long PostgreSQL may take for a statement of the ledger's."""

import hashlib
import threading

import pytest
from ledger_suites.tools import MakeLedger, new_call
from sqlalchemy import Connection, create_engine, text
from stack.ledger_fixtures import LedgerPostgres

from dagma.ledger import Ledger, LedgerUnavailableError
from dagma.ledger import database as database_module
from dagma.ledger.migrate import MIGRATION_LOCK, migrate
from dagma.ledger.state_changes import Ending, end_all

BOUND = text("SHOW statement_timeout")
SLOW = text("SELECT pg_sleep(0.4)")
ROWS_PASSED = text("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'calls'")


@pytest.fixture
def impatient(make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(database_module, "STATEMENT_SECONDS", 0.2)
    return make_ledger(patience_seconds=0)


def test_every_statement_of_a_call_is_bounded_and_so_is_the_wait_for_a_network_that_vanished(
    make_ledger: MakeLedger,
) -> None:
    ledger = make_ledger()
    ledger.begin(new_call())
    session = ledger._presence._session  # type: ignore[union-attr]
    assert session is not None
    with ledger.database.engine.connect() as pooled:
        for connection in (pooled, session):
            assert connection.scalar(BOUND) == "30s"
            dsn = connection.connection.driver_connection.info.dsn_parameters  # type: ignore[union-attr]
            assert dsn["tcp_user_timeout"] == "20000"


def test_reports_and_deletions_may_take_long(impatient: Ledger) -> None:
    with impatient.database.read() as connection:
        connection.execute(SLOW)
    impatient.database.transact(lambda connection: connection.execute(SLOW), may_take_long=True)
    with pytest.raises(LedgerUnavailableError, match="statement timeout"):
        impatient.database.transact(lambda connection: connection.execute(SLOW))


def test_a_migration_waits_for_another(ledger_postgres: LedgerPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "STATEMENT_SECONDS", 0.2)
    engine = create_engine(ledger_postgres.owner_url)
    with engine.connect() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        timer = threading.Timer(0.6, other.rollback)
        timer.start()
        migrate(ledger_postgres.owner_url, ledger_postgres.app_role)
        timer.join()
    engine.dispose()


def test_the_end_of_a_call_does_not_read_the_other_calls(
    make_ledger: MakeLedger, ledger_postgres: LedgerPostgres
) -> None:
    ledger = make_ledger()
    begun = ledger.begin(new_call())
    assert all(ledger._admission.admit_new([new_call(mode="job") for _ in range(2_000)]))
    engine = create_engine(ledger_postgres.owner_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as owner:
        owner.execute(text("ANALYZE calls"))
    engine.dispose()

    def end(connection: Connection) -> int:
        values = {"state": "answered", "answer_hash": hashlib.sha256(b"{}").hexdigest()}
        assert end_all(connection, [Ending(begun.call_id, values, "{}", 60)], begun.begun_at)
        return int(connection.scalar(ROWS_PASSED) or 0)

    assert ledger.database.transact(end) == 0
