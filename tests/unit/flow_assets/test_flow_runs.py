"""What materializing a flow's asset sends, gives and tells."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from unit.flow_assets.conftest import failure_of, materialize, metadata_of, seen

from dagma import FlowSettings, flow_assets
from dagma.calls.attached_files import BadFile
from dagma.project_definitions import with_defaults
from dagma.testing import FakeCall, FakeLangflow, Fault


@dg.asset
def people() -> list[str]:
    return ["Ann", "Bob"]


def run_all(*defs: dg.Definitions, **options: Any) -> dg.ExecuteInProcessResult:
    """Materialize everything that there is."""
    whole = with_defaults(dg.Definitions.merge(*defs))
    job = whole.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, raise_on_error=False, **options)


def test_a_flow_is_asked_what_its_template_says_and_gives_its_answer(langflow: FakeLangflow) -> None:
    calls: list[FakeCall] = []
    langflow.add_flow("greet", lambda call: calls.append(call) or f"Hello {call.input_value}")
    langflow.add_flow("shout", lambda call: call.input_value.upper())
    defs = flow_assets(
        flows={
            "greet": FlowSettings(
                deps=[dg.AssetKey("people")],
                input="{% for name in upstream.people %}{{ name }} {% endfor %}in the {{ config.tone }} way",
                config={"tone": "short", "length": 3},
                tweaks={"ChatInput-1": {"should_store_message": "{{ config.length > 2 }}"}},
                session="talk-{{ tags.who }}",
            ),
            "shout": FlowSettings(deps=[dg.AssetKey("greet")], input="{{ upstream.greet }}!"),
        }
    )
    config = {"ops": {"greet": {"config": {"tone": "long"}}}}
    result = run_all(dg.Definitions([people]), defs, run_config=config, tags={"who": "me"})
    assert result.success
    assert result.asset_value("greet") == "Hello Ann Bob in the long way"
    assert result.asset_value("shout") == "HELLO ANN BOB IN THE LONG WAY!"
    (call,) = calls
    assert call.session_id == "talk-me"
    assert call.tweaks == {"ChatInput-1": {"should_store_message": True}}


def test_a_run_may_ask_something_else(langflow: FakeLangflow) -> None:
    flow_id = langflow.add_flow("echo")
    result = materialize(seen(), "echo", {"input_value": "{{ 7 * 7 }}"})
    assert result.asset_value("echo") == "{{ 7 * 7 }}"
    told = metadata_of(result)
    assert (told["input"], told["answer"], told["flow_id"]) == ("{{ 7 * 7 }}", "{{ 7 * 7 }}", flow_id)
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.tags is not None
    assert event.materialization.tags["dagster/code_version"] == told["flow_version"]


def test_a_run_cannot_read_the_environment_of_its_worker(langflow: FakeLangflow) -> None:
    langflow.add_flow("echo")
    defs = flow_assets(flows={"echo": FlowSettings(config={"tone": "short"})})
    for config in ({"input_value": {"env": "HOME"}}, {"tone": {"env": "HOME"}}, {"other": "x"}):
        with pytest.raises(dg.DagsterInvalidConfigError):
            materialize(defs, "echo", config)


def test_each_partition_asks_its_own_question(langflow: FakeLangflow) -> None:
    langflow.add_flow("echo")
    settings = FlowSettings(
        input="About {{ partition_key }}", partitions_def=dg.StaticPartitionsDefinition(["tea", "coffee"])
    )
    result = materialize(flow_assets(flows={"echo": settings}), "echo", partition_key="tea")
    assert metadata_of(result)["answer"] == "About tea"


def test_a_template_that_cannot_be_filled_in_fails_before_anything_is_sent(langflow: FakeLangflow) -> None:
    langflow.add_flow("echo")
    result = materialize(flow_assets(flows={"echo": FlowSettings(input="{{ tags.ticket }}")}), "echo")
    assert failure_of(result) == "The input of the flow asset 'echo' can't be filled in: there is no 'ticket'."
    assert langflow.requests == []


@pytest.mark.parametrize("most", [0, 1])
def test_a_call_is_retried_as_often_as_the_asset_says(
    langflow: FakeLangflow, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    langflow.add_flow("echo")
    langflow.script(Fault(path="/api/v1/run", status=429, times=0))
    result = materialize(flow_assets(flows={"echo": FlowSettings(max_retries=most)}), "echo")
    assert not result.success
    assert len(result.filter_events(lambda event: event.is_step_up_for_retry)) == most


def test_texts_that_are_not_to_be_recorded_are_not(langflow: FakeLangflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_RECORD_TEXTS", "none")
    langflow.add_flow("echo")
    result = materialize(flow_assets(flows={"echo": FlowSettings(input="a secret")}), "echo")
    assert result.asset_value("echo") == {"status": "completed"}
    assert "secret" not in str(metadata_of(result))


def test_a_schedule_materializes_the_latest_partition_or_all_of_a_list(
    langflow: FakeLangflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_TIMEZONE", "Europe/Berlin")
    monkeypatch.setenv("DAGMA_SCHEDULES_RUNNING", "true")
    partitions = {
        "plain": None,
        "daily": dg.DailyPartitionsDefinition("2026-01-01", timezone="Europe/Berlin"),
        "listed": dg.StaticPartitionsDefinition(["tea", "coffee"]),
    }
    repository = with_defaults(
        flow_assets(
            flows={
                name: FlowSettings(schedule="0 6 * * *", partitions_def=partition)
                for name, partition in partitions.items()
            }
        )
    ).get_repository_def()
    requested = {}
    for name in partitions:
        schedule = repository.get_schedule_def(f"{name}_schedule")
        assert schedule.execution_timezone == "Europe/Berlin"
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_schedule_context(
                instance,
                scheduled_execution_time=datetime(2026, 3, 2, 6, tzinfo=ZoneInfo("Europe/Berlin")),
                repository_def=repository,
            )
            ticked = schedule.evaluate_tick(context)
        requested[name] = [request.partition_key for request in ticked.run_requests or []]
    assert requested == {"plain": [None], "daily": ["2026-03-01"], "listed": ["tea", "coffee"]}


def test_a_schedule_that_is_none_is_refused(langflow: FakeLangflow) -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="echo_schedule"):
        flow_assets(flows={"echo": FlowSettings(schedule="every morning")})
    days, places = dg.DailyPartitionsDefinition("2026-01-01"), dg.StaticPartitionsDefinition(["de", "fr"])
    both = dg.MultiPartitionsDefinition({"day": days, "place": places})
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="partitions of several dimensions"):
        flow_assets(flows={"echo": FlowSettings(schedule="0 6 * * *", partitions_def=both)})


def test_a_flow_reads_what_an_upstream_asset_gives_as_bytes(langflow: FakeLangflow) -> None:
    @dg.asset
    def report() -> bytes:
        return b"%PDF-1.7"

    def size(call: FakeCall) -> str:
        path = call.tweaks["File-1"]["path"]
        return f"{len(langflow.file_content(path) or b'')} bytes of {path[-4:]}"

    nodes = [{"id": "File-1", "data": {"type": "File", "node": {"template": {"path": {}}}}}]
    langflow.add_flow("read", size, flow={"data": {"nodes": nodes}})
    settings = FlowSettings(deps=[dg.AssetKey("report")], files={"File-1.path": "{{ upstream.report }}"})
    result = run_all(dg.Definitions([report]), flow_assets(flows={"read": settings}))
    assert result.asset_value("read") == "8 bytes of .pdf"
    assert langflow.files == []


def test_a_file_that_can_not_be_handed_over_fails_its_step_for_good(langflow: FakeLangflow) -> None:
    langflow.add_flow("read")
    settings = FlowSettings(files={"ChatInput-1.should_store_message": "/run/secrets/{{ tags.name | default('a') }}"})
    result = materialize(flow_assets(flows={"read": settings}), "read")
    assert failure_of(result).startswith(
        "BadFile: The file for 'ChatInput-1.should_store_message' has the path '/run/secrets/a', which leads out of"
    )
    with pytest.raises(BadFile, match="Name the component's id and the field"):
        materialize(flow_assets(flows={"read": FlowSettings(files={"path": "x"})}), "read")
