"""`dagma ledger migrate`."""

from pathlib import Path

import pytest
from sqlalchemy import select, text
from unit.ledger.conftest import Dagma

from dagma.ledger import Ledger
from dagma.ledger.database import HEAD
from dagma.ledger.tables import retention


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    """A ledger whose file is not there yet."""
    return f"sqlite:///{tmp_path}/ledger.db"


def test_the_owners_url_can_stand_in_a_file(
    dagma: Dagma, ledger_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(ledger_url)
    monkeypatch.setenv("DAGMA_LEDGER_OWNER_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("DAGMA_LEDGER_URL", "postgresql://dagma@127.0.0.1:9/dagma")
    assert dagma("migrate") == 0


def test_migrate_tells_the_version(dagma: Dagma, capsys: pytest.CaptureFixture[str]) -> None:
    assert dagma("migrate") == 0
    assert capsys.readouterr().out == f"The ledger's tables are at version {HEAD}.\n"


@pytest.mark.parametrize("version", ["0005", "9999"])
def test_migrate_refuses_a_version_that_it_does_not_know_with_the_fix(
    dagma: Dagma, ledger: Ledger, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    with ledger.database.engine.begin() as connection:
        connection.execute(text("UPDATE ledger_version SET version_num = :version"), {"version": version})
    assert dagma("migrate") == 1
    assert f"'{version}'). If it is older, run `dagma ledger migrate` of an older dagma" in capsys.readouterr().err


def test_migrate_writes_for_how_many_days_calls_are_kept(
    dagma: Dagma, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_RETENTION_LEDGER_DAYS", "90")
    assert dagma("migrate") == 0
    with ledger.database.read() as connection:
        assert connection.execute(select(retention.c.keep_days)).scalars().all() == [90]


def test_migrate_refuses_days_that_the_database_would_refuse(
    dagma: Dagma, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGMA_RETENTION_LEDGER_DAYS", "7")
    assert dagma("migrate") == 1
    assert "DAGMA_RETENTION_LEDGER_DAYS is '7'. Set it to whole days, from 30 to" in capsys.readouterr().err
