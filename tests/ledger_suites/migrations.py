"""The migrations lead from an empty database to the tables that the code expects."""

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
