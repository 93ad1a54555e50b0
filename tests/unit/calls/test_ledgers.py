"""Which ledger a process uses, and what becomes of calls when it fails them."""

import logging
import sqlite3
from pathlib import Path

import dagster as dg
import pytest
from unit.calls.conftest import FLOW_ID, Flow, execute, rows, sends

from dagma.ledger.ledger_settings import ledger_from_environment
from dagma.testing import FakeCall, FakeLangflow


def test_a_process_has_one_ledger_per_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_LEDGER_URL", f"sqlite:///{tmp_path / 'one.db'}")
    one = ledger_from_environment()
    assert ledger_from_environment() is one
    monkeypatch.setenv("DAGMA_QUOTAS", "calls=5/day")
    assert ledger_from_environment() is not one


def test_without_a_setting_the_ledger_is_a_file_in_dagsters_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGMA_LEDGER_URL", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert ledger_from_environment().database.name == f"sqlite:///{tmp_path / 'ledger.db'}"


def test_without_a_home_calls_are_recorded_until_the_process_ends(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGMA_LEDGER_URL")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    first = execute(instance, input_value="hi")
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert retry.metadata["origin"] == "replayed"
    assert "dagma-ledger-" in ledger_from_environment().database.name


def test_an_answer_is_not_lost_with_the_ledger(
    fake: FakeLangflow, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    def lose_the_ledger(call: FakeCall) -> str:
        with sqlite3.connect(tmp_path / "ledger.db") as ledger:
            ledger.execute("DROP TABLE replays")
        return call.input_value

    fake.behave(FLOW_ID, lose_the_ledger)
    run = execute(instance, input_value="dear")
    assert (run.success, run.metadata["answer"]) == (True, "dear")
    assert any("was answered, and is not recorded so" in line for line in run.log)


@pytest.mark.parametrize("mode", ["direct", "job"])
def test_nothing_is_sent_while_the_ledger_is_away_and_the_step_is_retried(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, tmp_path: Path, mode: str
) -> None:
    assert execute(instance, input_value="first").success
    with sqlite3.connect(tmp_path / "ledger.db") as ledger:
        ledger.execute("ALTER TABLE calls RENAME TO hidden")
    run = execute(instance, input_value="hi", mode=mode)
    assert (run.failure["error"], run.retries) == ("LedgerUnavailableError", 2)
    assert len(sends(fake)) == 1
    with sqlite3.connect(tmp_path / "ledger.db") as ledger:
        ledger.execute("ALTER TABLE hidden RENAME TO calls")
    assert execute(instance, parent=run, retry=True, input_value="hi", mode=mode).success
    assert len(rows()) == 2


def test_the_temporary_ledger_is_announced(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from dagma.ledger import ledger_settings

    monkeypatch.delenv("DAGMA_LEDGER_URL", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    ledger_settings._temporary_home.cache_clear()
    with caplog.at_level(logging.WARNING):
        ledger_from_environment()
        ledger_from_environment()
    assert [record.getMessage() for record in caplog.records if "temporary file" in record.getMessage()]
    assert len(caplog.records) == 1
