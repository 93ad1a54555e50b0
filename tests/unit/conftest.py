"""Databases for unit tests: made once and copied, since nearly every test needs empty ones of its own.

Imports that take long stand in the fixtures: many tests need none of them.
"""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import dagster as dg
    from alembic.config import Config
    from alembic.script import ScriptDirectory


@pytest.fixture(scope="session", autouse=True)
def _migrations_are_read_once() -> Iterator[None]:
    """Keep what Alembic reads from a folder of migrations: it would read Dagster's 70 files for each new instance."""
    from alembic.script import ScriptDirectory

    read = ScriptDirectory.from_config
    known: dict[str | None, ScriptDirectory] = {}
    lock = threading.Lock()

    def from_config(config: "Config") -> "ScriptDirectory":
        location = config.get_main_option("script_location")
        with lock:
            if location not in known:
                known[location] = read(config)
                known[location].get_heads()  # reads the files
            return known[location]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", staticmethod(from_config))
        yield


@pytest.fixture(scope="session")
def _empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dagma.ledger.database import Database

    file = tmp_path_factory.mktemp("empty_ledger") / "ledger.db"
    database = Database(f"sqlite:///{file}")
    database.check_version()
    database.close()
    return file


@pytest.fixture
def ledger_url(_empty_ledger: Path, tmp_path: Path) -> str:
    """An empty ledger of the test's own on SQLite: `ledger.db` in its folder."""
    return f"sqlite:///{shutil.copy(_empty_ledger, tmp_path)}"


@pytest.fixture(scope="session")
def _empty_dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import dagster as dg

    folder = tmp_path_factory.mktemp("empty_dagster_home")
    with dg.instance_for_test(temp_dir=str(folder)):
        return folder


@pytest.fixture
def dagster_home(_empty_dagster_home: Path, tmp_path: Path) -> str:
    """A folder of the test's own with the tables of a Dagster instance, for `dg.instance_for_test(temp_dir=...)`."""
    return str(shutil.copytree(_empty_dagster_home, tmp_path / "dagster_home"))


@pytest.fixture
def instance() -> "Iterator[dg.DagsterInstance]":
    import dagster as dg

    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def instance_on_disk(dagster_home: str) -> "Iterator[dg.DagsterInstance]":
    """An instance that others can look at while it writes, other than one in memory, whose tables they would lock."""
    import dagster as dg

    with dg.instance_for_test(temp_dir=dagster_home) as instance:
        yield instance
