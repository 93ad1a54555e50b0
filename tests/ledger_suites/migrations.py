"""The migrations lead from an empty database to the tables that the code expects."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from dagma.ledger.migrate import alembic_config, migrate
from dagma.ledger.tables import HEAD, VERSION_TABLE, metadata
from ledger_suites.tools import MakeLedger


class TestMigrations:
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
