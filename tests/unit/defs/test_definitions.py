import importlib
import types
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value

from dagma import environment
from dagma.backends.langflow.langflow_resource import LangflowRestResource, langflow_from_environment
from dagma.defs.llm.schedules import daily_schedule_from_environment


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.setenv("LANGFLOW_BASE_URL", "http://langflow:7860/a-secret-in-a-url")
    monkeypatch.setenv("LANGFLOW_API_KEY", "sk-a-secret-key")
    monkeypatch.setenv("LANGFLOW_DEFAULT_FLOW_ID", "a-private-flow")
    return importlib.reload(importlib.import_module("dagma.definitions"))


def test_no_snapshot_holds_a_secret(definitions: types.ModuleType) -> None:
    repository = definitions.defs.get_repository_def()
    snapshot = serialize_value(RepositorySnap.from_def(repository))
    for job in repository.get_all_jobs():
        snapshot += serialize_value(job.get_job_snapshot())
    assert "Answers calls with the flows of a Langflow server" in snapshot
    for secret in ("sk-a-secret-key", "a-secret-in-a-url", "a-private-flow"):
        assert secret not in snapshot


def test_every_job_executes_in_the_process_of_its_run(definitions: types.ModuleType) -> None:
    for job in definitions.defs.get_repository_def().get_all_jobs():
        assert job.executor_def.name == "in_process", job.name


def test_what_fixes_runs_by_itself_is_on_by_default(definitions: types.ModuleType) -> None:
    sensors = {sensor.name: sensor for sensor in definitions.defs.get_repository_def().sensor_defs}
    assert set(sensors) == {"lost_retries"}
    assert {sensor.default_status for sensor in sensors.values()} == {dg.DefaultSensorStatus.RUNNING}


def test_the_asset_is_bounded_by_its_pool(definitions: types.ModuleType) -> None:
    asset = definitions.defs.resolve_assets_def("langflow_run_flow")
    assert asset.op.pool == "langflow"


def test_every_setting_of_the_resource_is_described() -> None:
    for name, field in LangflowRestResource.model_fields.items():
        assert field.description, name


def test_the_resource_works_with_nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BASE_URL", "API_KEY", "DEFAULT_FLOW_ID", "TIMEOUT_SECONDS", "VERIFY_TLS", "CA_BUNDLE", "PUBLIC_URL"):
        monkeypatch.delenv(f"LANGFLOW_{name}", raising=False)
    with dg.build_resources({"backend": langflow_from_environment()}) as resources:
        assert resources.backend.base_url == "http://127.0.0.1:7860"
        assert resources.backend.default_flow() is None
        assert resources.backend.verify_tls is True


def test_the_schedule_is_daily_in_utc_and_stopped_outside_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGFLOW_SCHEDULE_CRON", "DAGMA_TIMEZONE", "DAGMA_SCHEDULES_RUNNING"):
        monkeypatch.delenv(name, raising=False)
    schedule = daily_schedule_from_environment()
    assert schedule.name == "run_langflow_daily"
    assert schedule.job_name == "langflow_run_flow_job"
    assert schedule.cron_schedule == "0 2 * * *"
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def test_cron_time_zone_and_status_of_the_schedule_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFLOW_SCHEDULE_CRON", "*/5 8-17 * * 1-5")
    monkeypatch.setenv("DAGMA_TIMEZONE", "Europe/Berlin")
    monkeypatch.setenv("DAGMA_SCHEDULES_RUNNING", "true")
    schedule = daily_schedule_from_environment()
    assert schedule.cron_schedule == "*/5 8-17 * * 1-5"
    assert schedule.execution_timezone == "Europe/Berlin"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def schedule_config(definitions: types.ModuleType) -> dict[str, Any]:
    """The config of the run that a tick launches."""
    repository = definitions.defs.get_repository_def()
    context = dg.build_schedule_context(repository_def=repository)
    (request,) = repository.get_schedule_def("run_langflow_daily").evaluate_tick(context).run_requests
    return dict(request.run_config)


def test_the_schedule_asks_what_the_environment_says(
    definitions: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert schedule_config(definitions) == {}
    monkeypatch.setenv("LANGFLOW_SCHEDULE_INPUT", "Good morning: 'what' is new, {everyone}?")
    config = schedule_config(importlib.reload(definitions))
    assert config == {
        "ops": {"langflow_run_flow": {"config": {"input_value": "Good morning: 'what' is new, {everyone}?"}}}
    }
    dg.validate_run_config(definitions.defs.resolve_job_def("langflow_run_flow_job"), config)


def test_a_word_for_recorded_texts_that_there_is_not_is_refused_at_load(
    definitions: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_RECORD_TEXTS", "some")
    with pytest.raises(environment.SettingError, match="DAGMA_RECORD_TEXTS is 'some'"):
        importlib.reload(definitions)
