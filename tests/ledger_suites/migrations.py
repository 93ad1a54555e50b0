"""Making the tables where they are already, and the version that the code takes for the newest."""

from alembic.script import ScriptDirectory

from dagma.ledger.database import HEAD
from dagma.ledger.migrate import alembic_config, migrate
from ledger_suites.tools import MakeLedger


class TestMigrations:
    def test_migrating_again_changes_nothing(self, owner_url: str, make_ledger: MakeLedger) -> None:
        make_ledger().database.check_version()
        assert migrate(owner_url) == HEAD
        make_ledger().database.check_version()

    def test_the_code_knows_the_newest_migration(self) -> None:
        assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]
