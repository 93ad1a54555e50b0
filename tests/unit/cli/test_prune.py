"""`dagma prune`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.storage.runs.schema import RunsTable

from dagma.cli import main


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch, ledger_url: str, dagster_home: str) -> Iterator[dg.DagsterInstance]:
    """An instance with one old run; Langflow is away, and the ledger is empty."""
    for name in ("RUNS", "LANGFLOW", "CHATS", "LEDGER"):
        monkeypatch.delenv(f"DAGMA_RETENTION_{name}_DAYS", raising=False)
    monkeypatch.setenv("LANGFLOW_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DAGMA_LEDGER_URL", ledger_url)
    with dg.instance_for_test(temp_dir=dagster_home, set_dagster_home=True) as instance:
        instance.add_run(dg.DagsterRun(job_name="j", status=dg.DagsterRunStatus.SUCCESS))
        long_ago = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=31)
        with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
            connection.execute(RunsTable.update().values(create_timestamp=long_ago, update_timestamp=long_ago))
        yield instance


def test_a_dry_run_counts_and_a_store_that_is_away_fails_it(
    instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prune", "--dry-run"]) == 1
    dagster, langflow, ledger = capsys.readouterr().out.splitlines()
    assert dagster == "Dagster   would delete: 1 run"
    assert langflow.startswith("Langflow  FAILED: ")
    assert "127.0.0.1:9" in langflow
    assert ledger == "ledger    would delete: 0 calls"
    assert instance.get_runs_count() == 1


def test_every_store_is_pruned(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGMA_RETENTION_LANGFLOW_DAYS", "0")
    assert main(["prune"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Dagster   deleted: 1 run",
        "Langflow  deleted: nothing: 0 days keep everything",
        "ledger    deleted: 0 calls, 0 raw responses",
    ]
    assert instance.get_runs_count() == 0


def test_days_that_can_not_be_used_are_told_before_anything_is_deleted(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGMA_RETENTION_LEDGER_DAYS", "7")
    assert main(["prune"]) == 1
    assert "DAGMA_RETENTION_LEDGER_DAYS is '7'" in capsys.readouterr().err
    assert instance.get_runs_count() == 1


def test_the_other_stores_are_pruned_where_dagster_s_can_not_be(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.setenv("DAGMA_RETENTION_LANGFLOW_DAYS", "0")
    assert main(["prune"]) == 1
    dagster, _langflow, ledger = capsys.readouterr().out.splitlines()
    assert dagster.startswith("Dagster   FAILED: DagsterHomeNotSetError: ")
    assert ledger == "ledger    deleted: 0 calls, 0 raw responses"
