"""`dagma ledger prune` and `migrate`."""

from datetime import timedelta
from pathlib import Path

import pytest
from ledger_suites.tools import Clock, MakeLedger, new_call
from sqlalchemy import select
from unit.ledger.conftest import Dagma

from dagma.ledger import Ledger
from dagma.ledger.database import utc_now
from dagma.ledger.schema_version import HEAD
from dagma.ledger.tables import retention


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    """A ledger whose file is not there yet."""
    return f"sqlite:///{tmp_path}/ledger.db"


def test_prune_deletes_what_is_past_its_retention(
    dagma: Dagma, make_ledger: MakeLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(utc_now() - timedelta(days=50))
    ledger = make_ledger(clock=clock)
    ledger.finish(ledger.begin(new_call()), raw="old")
    clock.advance(days=49)
    ledger.finish(ledger.begin(new_call()), raw="young")
    assert dagma("prune", "--keep-days", "45", "--replay-hours", "1") == 0
    assert capsys.readouterr().out == "Deleted 1 call older than 45 days and 1 raw response.\n"
    assert dagma("prune", "--keep-days", "29") == 1
    assert "at least 30 days" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ("0", "no calls, which are kept for ever,"),
        ("600", "0 calls older than 600 days"),
        ("", "1 call older than 400 days"),
    ],
)
def test_prune_keeps_calls_for_as_long_as_is_configured(
    dagma: Dagma,
    make_ledger: MakeLedger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    days: str,
    said: str,
) -> None:
    monkeypatch.setenv("DAGMA_RETENTION_LEDGER_DAYS", days)
    ledger = make_ledger(clock=Clock(utc_now() - timedelta(days=500)))
    ledger.finish(ledger.begin(new_call()), raw="old")
    assert dagma("prune") == 0
    assert capsys.readouterr().out.startswith(f"Deleted {said} and ")


@pytest.mark.parametrize("hours", ["-1", "0", "nan", "inf"])
def test_prune_deletes_nothing_where_it_is_told_nonsense(
    dagma: Dagma, make_ledger: MakeLedger, capsys: pytest.CaptureFixture[str], hours: str
) -> None:
    ledger, call = make_ledger(clock=Clock(utc_now() - timedelta(days=50))), new_call()
    ledger.finish(ledger.begin(call), raw="old")
    assert dagma("prune", "--keep-days", "45", f"--replay-hours={hours}") == 1
    assert "replay_hours" in capsys.readouterr().err
    assert ledger.begin(call).raw == "old"


def test_prune_works_as_the_owner_where_that_is_another(
    dagma: Dagma, ledger_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGMA_LEDGER_OWNER_URL", ledger_url)
    monkeypatch.setenv("DAGMA_LEDGER_URL", "postgresql://dagma@127.0.0.1:9/dagma")
    assert dagma("prune") == 0
    assert capsys.readouterr().out.startswith("Deleted 0 calls")


@pytest.mark.parametrize("command", ["prune", "migrate"])
def test_the_owners_url_can_stand_in_a_file(
    dagma: Dagma, ledger_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    (tmp_path / "url").write_text(ledger_url)
    monkeypatch.setenv("DAGMA_LEDGER_OWNER_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("DAGMA_LEDGER_URL", "postgresql://dagma@127.0.0.1:9/dagma")
    assert dagma(command) == 0


def test_migrate_tells_the_version(dagma: Dagma, capsys: pytest.CaptureFixture[str]) -> None:
    assert dagma("migrate") == 0
    assert capsys.readouterr().out == f"The ledger's tables are at version {HEAD}.\n"


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
