"""The tables' database: which URLs it takes, and a new file that two batches open at once."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from dagma.batches.tables_database import TablesDatabase
from dagma.environment import SettingError

NO_DRIVER = r"or names a driver that is not installed\. Write postgresql://"
NO_PATH = r"no absolute path, and each process.* of its own\. Write postgresql://"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        *(
            (url, NO_DRIVER)
            for url in (
                *("postgresql+psycopg://me@db/tables", "postgresql+nosuch://me@db/tables", "no url"),
                *("postgresql://me:my@secret@db/tables", "postgresql://me:my@sec/ret@db/tables"),
            )
        ),
        *((url, NO_PATH) for url in ("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///data/tables.db")),
    ],
)
def test_a_url_that_can_not_be_used_is_refused(url: str, told: str) -> None:
    with pytest.raises(SettingError, match=told) as refused:
        TablesDatabase(url)
    assert "sec" not in str(refused.value)


def test_a_new_file_that_another_batch_switches_at_the_same_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Raced(sqlite3.Connection):
        tries = 0

        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            if "journal_mode=WAL" in statement:
                Raced.tries += 1
                if Raced.tries == 1:
                    raise sqlite3.OperationalError("database is locked")
            return super().execute(statement, *parameters)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3.dbapi2, "connect", lambda *args, **options: connect(*args, factory=Raced, **options))
    with TablesDatabase(f"sqlite:///{tmp_path}/tables.db").begin() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert Raced.tries == 2
