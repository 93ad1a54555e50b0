"""The job that prunes every store, and its schedule."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from dagma.defs.retention import prune_job, prune_schedule_from_environment
from dagma.environment import SettingError
from dagma.langflow import LangflowClient
from dagma.langflow.past_runs_api import StoredRecord
from dagma.ledger import Call, Ledger
from dagma.ledger.ledger_settings import ledger_from_environment

SESSION = "call-" + "a" * 32


@pytest.fixture(autouse=True)
def stores(monkeypatch: pytest.MonkeyPatch, ledger_url: str) -> None:
    for name in ("RUNS", "LANGFLOW", "CHATS", "LEDGER"):
        monkeypatch.delenv(f"DAGMA_RETENTION_{name}_DAYS", raising=False)
    monkeypatch.setenv("LANGFLOW_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DAGMA_LEDGER_URL", ledger_url)


@pytest.fixture
def langflow(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A Langflow without messages and with one old trace; gives the ids of the traces that were deleted."""
    deleted: list[str] = []
    trace = StoredRecord("trace-1", SESSION, datetime.now(UTC) - timedelta(days=31))

    def list_traces(_: LangflowClient, until: datetime, *, page: int) -> list[StoredRecord]:
        assert page == 1
        return [] if deleted or until < trace.at else [trace]

    def delete_trace(_: LangflowClient, trace_id: str) -> bool:
        deleted.append(trace_id)
        return True

    monkeypatch.setattr(LangflowClient, "list_flows", lambda _: [])
    monkeypatch.setattr(LangflowClient, "list_files", lambda _: [])
    monkeypatch.setattr(LangflowClient, "list_traces", list_traces)
    monkeypatch.setattr(LangflowClient, "delete_trace", delete_trace)
    return deleted


def old_call(url: str) -> Ledger:
    ledger = Ledger(url, clock=lambda: datetime.now(UTC) - timedelta(days=401))
    ledger.finish(ledger.begin(Call(flow_id="f", input_hash="x" * 64, scope="s")), raw="Paris")
    return ledger


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, object]]:
    """By step, what its output tells."""
    outputs = [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_OUTPUT]
    return {
        str(event.step_key): {name: value.value for name, value in event.step_output_data.metadata.items()}
        for event in outputs
    }


def test_each_store_is_pruned_in_a_step_that_tells_what_it_deleted(
    instance_on_disk: dg.DagsterInstance, langflow: list[str], ledger_url: str
) -> None:
    old_call(ledger_url)
    result = prune_job.execute_in_process(instance=instance_on_disk)
    assert metadata(result) == {
        "prune_runs": {"runs": 0, "days": 30},
        "prune_langflow": {"messages": 0, "traces": 1, "files": 0, "days": 30},
        # Its raw response has expired as well.
        "prune_ledger": {"calls": 1, "raw responses": 1, "days": 400},
    }
    assert langflow == ["trace-1"]
    ledger_from_environment().close()


def test_a_langflow_that_is_away_fails_its_step_alone(instance_on_disk: dg.DagsterInstance, ledger_url: str) -> None:
    old_call(ledger_url)
    result = prune_job.execute_in_process(instance=instance_on_disk, raise_on_error=False)
    assert not result.success
    pruned = metadata(result)
    assert pruned.keys() == {"prune_runs", "prune_ledger"}
    assert pruned["prune_ledger"]["calls"] == 1
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    assert failure.step_key == "prune_langflow"
    told = failure.step_failure_data.error_display_string
    assert "langflow was not pruned: Unreachable: " in told
    ledger_from_environment().close()


def test_pruning_takes_no_place_of_a_call_and_no_config() -> None:
    for node in prune_job.nodes:
        assert isinstance(node.definition, dg.OpDefinition)
        assert node.definition.pool is None
        assert not node.definition.has_config_field or node.definition.config_field.config_type.given_name == "Any"


def test_the_schedule_ships_running_in_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGMA_TIMEZONE", raising=False)
    monkeypatch.setenv("DAGMA_SCHEDULES_RUNNING", "true")
    schedule = prune_schedule_from_environment()
    assert (schedule.name, schedule.job_name, schedule.execution_timezone) == ("prune_daily", "prune", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    monkeypatch.setenv("DAGMA_SCHEDULES_RUNNING", "false")
    assert prune_schedule_from_environment().default_status is dg.DefaultScheduleStatus.STOPPED


def test_days_that_can_not_be_used_are_told_when_the_code_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_RETENTION_CHATS_DAYS", "soon")
    with pytest.raises(SettingError, match="DAGMA_RETENTION_CHATS_DAYS is 'soon'"):
        prune_schedule_from_environment()
