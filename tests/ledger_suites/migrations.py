"""The migrations lead from an empty database to the tables that the code expects."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from dagma.ledger.migrate import alembic_config, migrate
from dagma.ledger.schema_version import HEAD, VERSION_TABLE
from dagma.ledger.tables import metadata
from ledger_suites.tools import MakeLedger


def migrate_to(url: str, version: str) -> None:
    """Bring a database to an older version than the code's."""
    engine = create_engine(url)
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()


def empty(url: str) -> None:
    """Take everything out of a database, as its owner."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).unlink(missing_ok=True)
    else:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP OWNED BY CURRENT_USER")
    engine.dispose()


class Migrations:
    def test_the_migrated_tables_are_those_the_code_expects(self, make_ledger: MakeLedger) -> None:
        database = make_ledger().database
        database.check_version()
        with database.engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": False}
            )
            assert compare_metadata(context, metadata) == []

    def test_migrating_again_changes_nothing(self, owner_url: str, make_ledger: MakeLedger) -> None:
        make_ledger().database.check_version()
        assert migrate(owner_url) == HEAD
        make_ledger().database.check_version()

    def test_the_code_knows_the_newest_migration(self) -> None:
        assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]

    def test_a_call_that_is_in_flight_while_principals_come_into_the_totals_counts_once(self, owner_url: str) -> None:
        empty(owner_url)
        migrate_to(owner_url, "0007")
        engine = create_engine(owner_url)
        begun = (
            "INSERT INTO calls (id, key, attempt, scope, flow_id, backend, mode, state, begun_at, reserved_tokens,"
            " reserved_cost, input_hash, principal) VALUES ('{id}', '{id}', 1, 's', 'f', 'b', 'direct', 'begun',"
            " '2026-03-10 12:20:00', 7, 3, 'x', 'anna')"
        )
        ended = "UPDATE calls SET state = 'answered', finished_at = begun_at, duration_ms = 1, total_tokens = 5"
        with engine.begin() as connection:
            connection.exec_driver_sql(begun.format(id="0"))
            connection.exec_driver_sql(ended)
            connection.exec_driver_sql(begun.format(id="1"))
        migrate(owner_url)
        with engine.begin() as connection:
            connection.exec_driver_sql(begun.format(id="2"))
            sums = (
                "SELECT sum(calls), sum(tokens), sum(cost), sum(metered_tokens) FROM usage_hours WHERE principal = '{}'"
            )
            connection.exec_driver_sql(f"{ended} WHERE id <> '0'")
            assert connection.exec_driver_sql(sums.format("anna")).one() == (2, 10, 6, 10)
            assert connection.exec_driver_sql(sums.format("")).one() == (1, 5, 3, 5), "ended before"
        engine.dispose()
