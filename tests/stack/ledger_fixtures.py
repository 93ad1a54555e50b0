"""PostgreSQL databases for the ledger's tests, on a server of the stack's image.

Whatever is made there has a random name and is dropped again.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from ledger_suites.fixtures import make_ledger
from ledger_suites.tools import OWNERS
from sqlalchemy import URL, Engine, create_engine, make_url

from dagma.ledger.migrate import migrate

__all__ = ["ledger_postgres", "ledger_postgres_url", "ledger_server", "ledger_url", "make_ledger", "owner_url"]


@dataclass(frozen=True)
class LedgerServer:
    """A server with an owner and an application role of the tests' own, and a migrated database to copy."""

    admin: Engine
    template: str
    owner: str
    app: str
    password: str

    def url(self, role: str, database: str) -> URL:
        return self.admin.url.set(username=role, password=self.password, database=database)

    def execute(self, *statements: str) -> None:
        with self.admin.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


@dataclass(frozen=True)
class LedgerPostgres:
    """A ledger database: what its owner and what the application connect with."""

    owner_url: str
    app_url: str
    app_role: str


@pytest.fixture(scope="session")
def ledger_server(postgres_url: str) -> Iterator[LedgerServer]:
    name = f"ledger_test_{secrets.token_hex(4)}"
    admin = create_engine(make_url(postgres_url), isolation_level="AUTOCOMMIT")
    server = LedgerServer(admin, name, f"{name}_owner", f"{name}_app", secrets.token_hex(16))
    server.execute(
        f"CREATE ROLE {server.owner} LOGIN PASSWORD '{server.password}'",
        f"CREATE ROLE {server.app} LOGIN PASSWORD '{server.password}'",
        # Who is no superuser must be a member of the role that is given a database.
        f"GRANT {server.owner} TO CURRENT_USER",
        f"CREATE DATABASE {name} OWNER {server.owner}",
    )
    try:
        migrate(server.url(server.owner, name).render_as_string(hide_password=False), server.app)
        yield server
    finally:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {server.app}", f"DROP ROLE {server.owner}")
        admin.dispose()


@pytest.fixture
def ledger_postgres(ledger_server: LedgerServer) -> Iterator[LedgerPostgres]:
    name = f"{ledger_server.template}_{secrets.token_hex(4)}"
    ledger_server.execute(f"CREATE DATABASE {name} TEMPLATE {ledger_server.template} OWNER {ledger_server.owner}")
    postgres = LedgerPostgres(
        ledger_server.url(ledger_server.owner, name).render_as_string(hide_password=False),
        ledger_server.url(ledger_server.app, name).render_as_string(hide_password=False),
        ledger_server.app,
    )
    OWNERS[postgres.app_url] = postgres.owner_url
    yield postgres
    ledger_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def ledger_postgres_url(ledger_postgres: LedgerPostgres) -> str:
    return ledger_postgres.app_url


@pytest.fixture
def ledger_url(ledger_postgres_url: str) -> str:
    return ledger_postgres_url


@pytest.fixture
def owner_url(ledger_postgres: LedgerPostgres) -> str:
    return ledger_postgres.owner_url
