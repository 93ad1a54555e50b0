"""Dagster's storage over kept connections, on a PostgreSQL of the stack's image."""

import secrets
from collections.abc import Iterator

import dagster as dg
import pytest
from ledger_suites.tools import in_child
from sqlalchemy import create_engine, make_url, text

from dagma.execution.storage import PostgresStorage

SESSIONS = text("SELECT sum(sessions) FROM pg_stat_database WHERE datname = :name")
CONNECTED = text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name")
TERMINATE = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
DONE = 0


class Server:
    """A database for Dagster, and what its server says about it."""

    def __init__(self, admin_url: str) -> None:
        self._admin = create_engine(make_url(admin_url), isolation_level="AUTOCOMMIT")
        self.name = f"dagster_test_{secrets.token_hex(4)}"
        self.url = self._admin.url.set(database=self.name).render_as_string(hide_password=False)
        self.execute(f"CREATE DATABASE {self.name}")

    def execute(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(statement)

    def connections(self) -> int:
        """How many are open."""
        with self._admin.connect() as connection:
            return int(connection.scalar(CONNECTED, {"name": self.name}) or 0)

    def sessions(self) -> int:
        """How many were ever opened."""
        with self._admin.connect() as connection:
            return int(connection.scalar(SESSIONS, {"name": self.name}) or 0)

    def break_connections(self) -> None:
        with self._admin.connect() as connection:
            assert connection.execute(TERMINATE, {"name": self.name}).all()

    def close(self) -> None:
        self.execute(f"DROP DATABASE {self.name} WITH (FORCE)")
        self._admin.dispose()


@pytest.fixture
def server(postgres_url: str) -> Iterator[Server]:
    server = Server(postgres_url)
    yield server
    server.close()


@pytest.fixture
def storage(server: Server) -> PostgresStorage:
    return PostgresStorage(server.url)


def use(storage: PostgresStorage) -> None:
    """Write and read in each of the storages."""
    run = dg.DagsterRun(job_name="job")
    storage.run_storage.add_run(run)
    assert storage.run_storage.has_run(run.run_id)
    assert storage.event_log_storage.get_logs_for_run(run.run_id) == []
    assert list(storage.schedule_storage.all_instigator_state()) == []


def test_statements_share_a_connection_and_so_do_instances(server: Server, storage: PostgresStorage) -> None:
    use(storage)
    before = server.sessions()
    for _ in range(5):
        use(storage)
    another = PostgresStorage(server.url, should_autocreate_tables=False)
    use(another)
    assert (server.sessions(), server.connections()) == (before, 1)


def test_connections_that_broke_are_replaced_before_they_are_used(server: Server, storage: PostgresStorage) -> None:
    use(storage)
    server.break_connections()
    use(storage)


def test_a_forked_process_uses_connections_of_its_own(server: Server, storage: PostgresStorage) -> None:
    use(storage)
    before = server.sessions()

    def use_the_parents() -> int:
        use(storage)
        return DONE

    assert in_child(use_the_parents) == DONE
    use(storage)
    assert server.sessions() == before + 1
