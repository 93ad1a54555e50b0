"""What each role may do in the ledger's database, and what happens when the server goes away."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Timer

import pytest
from ledger_suites.tools import Clock, MakeLedger, new_call
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.exc import DBAPIError
from stack.ledger_fixtures import LedgerPostgres, LedgerServer

from dagma.ledger import (
    CallInFlightError,
    Ledger,
    LedgerNotMigratedError,
    LedgerUnavailableError,
    OutcomeUnknownError,
)
from dagma.ledger.database import Database
from dagma.ledger.migrate import migrate
from dagma.ledger.pruning import prune_expired


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def answered(make_ledger: MakeLedger) -> str:
    """The id of an answered call, whose answer was rejected."""
    ledger = make_ledger()
    begun = ledger.begin(new_call())
    ledger.finish(begun, raw="Paris", answer="Paris")
    ledger.reject(begun, "wrong")
    return begun.call_id


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE calls SET answer_text = 'Rome'", "finished call can not be changed"),
        ("DELETE FROM calls", "younger than 30 days"),
        ("TRUNCATE calls CASCADE", "can not be truncated"),
        ("UPDATE rejections SET reason = ''", "rejection can not be changed"),
        ("DELETE FROM rejections", "deleted with its call only"),
        ("TRUNCATE rejections", "can not be truncated"),
    ],
)
@pytest.mark.usefixtures("answered")
def test_not_even_the_owner_changes_history_by_a_plain_statement(
    ledger_postgres: LedgerPostgres, statement: str, reason: str
) -> None:
    with connected(ledger_postgres.owner_url) as connection, pytest.raises(DBAPIError, match=reason):
        connection.exec_driver_sql(statement)


def test_the_application_has_no_say_in_how_long_calls_are_kept(
    ledger_postgres: LedgerPostgres, make_ledger: MakeLedger
) -> None:
    ledger = make_ledger(clock=Clock(datetime.now(UTC) - timedelta(days=100)))
    ledger.finish(ledger.begin(new_call()), raw="Paris")
    with connected(ledger_postgres.app_url) as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE retention AS SELECT 30 AS keep_days")
        connection.exec_driver_sql("GRANT ALL ON pg_temp.retention TO PUBLIC")
        assert connection.exec_driver_sql("SELECT ledger_prune_expired(1000)").scalar() == 0
    assert prune_expired(Database(ledger_postgres.app_url), keep_days=30) == 0
    migrate(ledger_postgres.owner_url, ledger_postgres.app_role, keep_days=99)
    assert prune_expired(Database(ledger_postgres.app_url), keep_days=400) == 1


def test_migrating_without_days_leaves_them_as_they_are(ledger_postgres: LedgerPostgres) -> None:
    migrate(ledger_postgres.owner_url, ledger_postgres.app_role, keep_days=99)
    migrate(ledger_postgres.owner_url, ledger_postgres.app_role)
    with connected(ledger_postgres.app_url) as connection:
        assert connection.exec_driver_sql("SELECT keep_days FROM retention").scalars().all() == [99]


def test_a_temporary_table_does_not_stand_in_for_a_real_one(
    ledger_postgres: LedgerPostgres, make_ledger: MakeLedger
) -> None:
    make_ledger().begin(new_call())
    with connected(ledger_postgres.app_url) as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE usage_hours AS SELECT * FROM usage_hours")
        connection.exec_driver_sql("CREATE UNIQUE INDEX ON pg_temp.usage_hours (flow_id, hour)")
        connection.exec_driver_sql("GRANT ALL ON pg_temp.usage_hours TO PUBLIC")
        connection.exec_driver_sql(
            "INSERT INTO calls (id, key, attempt, scope, flow_id, backend, mode, state, reserved_tokens,"
            " reserved_cost, input_hash) SELECT 'x', key, 2, scope, flow_id, backend, mode, state, 0, 0, 'x' FROM calls"
        )
        assert connection.exec_driver_sql("SELECT calls FROM public.usage_hours").scalar() == 2


def test_other_roles_can_not_read_the_ledger(ledger_postgres: LedgerPostgres, ledger_server: LedgerServer) -> None:
    stranger = f"{ledger_server.template}_stranger"
    ledger_server.execute(f"CREATE ROLE {stranger} LOGIN PASSWORD '{ledger_server.password}'")
    try:
        url = make_url(ledger_postgres.app_url).set(username=stranger).render_as_string(hide_password=False)
        for statement in ("SELECT 1 FROM calls", "SELECT 1 FROM replays", "DELETE FROM calls"):
            with connected(url) as connection, pytest.raises(DBAPIError, match=r"permission denied"):
                connection.exec_driver_sql(statement)
    finally:
        ledger_server.execute(f"DROP ROLE {stranger}")


def test_an_empty_database_is_refused_with_the_fix(ledger_server: LedgerServer) -> None:
    name = f"{ledger_server.template}_empty"
    ledger_server.execute(f"CREATE DATABASE {name} OWNER {ledger_server.owner}")
    app_url = ledger_server.url(ledger_server.app, name).render_as_string(hide_password=False)
    owner_url = ledger_server.url(ledger_server.owner, name).render_as_string(hide_password=False)
    try:
        with pytest.raises(LedgerNotMigratedError, match="dagma ledger migrate"):
            Ledger(app_url).begin(new_call())
        with pytest.raises(LedgerUnavailableError, match=r"permission denied for schema public"):
            migrate(app_url)
        with pytest.raises(LedgerUnavailableError, match='role "nobody_here" does not exist'):
            migrate(owner_url, "nobody_here")
        migrate(owner_url, ledger_server.app)
        ledger = Ledger(app_url)
        assert ledger.begin(new_call()).state == "new"
        ledger.close()
    finally:
        ledger_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_an_answer_is_recorded_although_every_connection_broke_meanwhile(
    make_ledger: MakeLedger, ledger_server: LedgerServer, ledger_postgres: LedgerPostgres
) -> None:
    ledger, call = make_ledger(), new_call()
    begun = ledger.begin(call)
    break_connections(ledger_server, ledger_postgres)
    ledger.finish(begun, raw="Paris")
    assert make_ledger().begin(call).raw == "Paris"


def test_an_answer_waits_for_a_server_that_is_away(
    make_ledger: MakeLedger, ledger_server: LedgerServer, ledger_postgres: LedgerPostgres
) -> None:
    ledger, call = make_ledger(), new_call()
    begun = ledger.begin(call)
    name = make_url(ledger_postgres.app_url).database
    ledger_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    break_connections(ledger_server, ledger_postgres)
    back = Timer(1.5, ledger_server.execute, [f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"])
    back.start()
    ledger.finish(begun, raw="Paris")
    back.join()
    assert make_ledger().begin(call).raw == "Paris"


def test_a_server_that_stays_away_is_an_error_after_the_patience(
    make_ledger: MakeLedger, ledger_server: LedgerServer, ledger_postgres: LedgerPostgres
) -> None:
    ledger = make_ledger(patience_seconds=0.3)
    begun = ledger.begin(new_call())
    name = make_url(ledger_postgres.app_url).database
    ledger_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    break_connections(ledger_server, ledger_postgres)
    with pytest.raises(LedgerUnavailableError, match=str(name)):
        ledger.finish(begun, raw="Paris")
    ledger_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_a_wrong_password_is_told_at_once(ledger_postgres: LedgerPostgres) -> None:
    url = make_url(ledger_postgres.app_url).set(username="nobody_here").render_as_string(hide_password=False)
    ledger = Ledger(url, patience_seconds=3600)
    with pytest.raises(LedgerUnavailableError, match="right host, role and password"):
        ledger.begin(new_call())


def test_calls_in_flight_are_marked_again_on_a_new_connection(
    make_ledger: MakeLedger, ledger_server: LedgerServer, ledger_postgres: LedgerPostgres
) -> None:
    ledger, call = make_ledger(), new_call()
    ledger.begin(call)
    break_connections(ledger_server, ledger_postgres)
    ledger.begin(new_call())
    with pytest.raises(CallInFlightError):
        make_ledger().begin(call)


def test_a_lost_mark_errs_towards_not_paying_twice(
    make_ledger: MakeLedger, ledger_server: LedgerServer, ledger_postgres: LedgerPostgres
) -> None:
    ledger, call = make_ledger(), new_call()
    begun = ledger.begin(call)
    break_connections(ledger_server, ledger_postgres)
    with pytest.raises(OutcomeUnknownError):
        make_ledger().begin(call)
    ledger.finish(begun, raw="Paris")
    assert make_ledger().begin(call).raw == "Paris"


def break_connections(server: LedgerServer, postgres: LedgerPostgres) -> None:
    name = make_url(postgres.app_url).database
    every = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 (own name)
    server.execute(every)
