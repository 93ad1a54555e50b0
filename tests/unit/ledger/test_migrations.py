"""How the ledger's tables change: each change has a version, and a migration from the version before."""

import re
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from alembic.config import Config
from ledger_suites.tools import new_call
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from dagma.ledger import Ledger
from dagma.ledger import __file__ as package
from dagma.ledger.database import HEAD
from dagma.ledger.migrate import migrate
from dagma.ledger.tables import calls, metadata

FOLDER = Path(package).parent
LATER = """
import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade():
    op.add_column("calls", sa.Column("tone", sa.Text))
"""


def test_tables_and_guards_that_change_get_a_version_of_their_own() -> None:
    """If this fails, a database of the version before lacks the change: `dagma.ledger.migrations` says what to do."""
    made = []
    for dialect in (postgresql.dialect(), sqlite.dialect()):  # type: ignore[no-untyped-call]
        for table in metadata.sorted_tables:
            indexes = sorted(table.indexes, key=lambda index: str(index.name))
            made += [str(each.compile(dialect=dialect)) for each in (CreateTable(table), *map(CreateIndex, indexes))]
        made.append(re.sub(r"--.*", "", (FOLDER / f"guards_{dialect.name}.sql").read_text()))
    fingerprint = sha256("".join("".join(made).split()).encode()).hexdigest()
    assert (HEAD, fingerprint[:16]) == ("0009", "306934a705d5f3a1")


def test_older_tables_are_upgraded_and_an_empty_database_gets_the_newest_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (f"sqlite:///{tmp_path}/{name}.db" for name in ("old", "new"))
    Ledger(old).begin(new_call())
    shutil.copytree(FOLDER / "migrations", tmp_path / "migrations")
    (tmp_path / "migrations/versions/0010_tone.py").write_text(LATER)
    config = Config()
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    monkeypatch.setattr("dagma.ledger.migrate.alembic_config", lambda: config)
    columns, rows = {}, {}
    for url in (old, new):
        migrate(url)
        engine = create_engine(url)
        columns[url] = {column["name"] for column in inspect(engine).get_columns("calls")}
        with engine.connect() as connection:
            rows[url] = connection.execute(
                text("SELECT version_num, (SELECT count(*) FROM calls) FROM ledger_version")
            ).all()
        engine.dispose()
    assert columns == {old: {*calls.c.keys(), "tone"}, new: {*calls.c.keys()}}
    assert rows == {old: [("0010", 1)], new: [("0010", 0)]}
