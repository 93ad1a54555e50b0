import logging
import re
from typing import Any

import dagster as dg
import pytest
from unit.calls.conftest import FLOW_ID, Flow, asset_job, execute, rows, sends
from unit.langflow.test_misbehaviour import GOOD

from dagma.backends.backend import Backend
from dagma.backends.langflow.langflow_resource import langflow_from_environment
from dagma.calls.request import CallRequest
from dagma.testing import FakeAnswer, FakeLangflow, Fault


def test_sends_the_default_input_to_the_default_flow_and_returns_the_raw_response(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    fake.script(Fault(path="/api/v1/run", status=200, body=GOOD))
    run = execute(instance)
    assert run.success
    assert run.value == GOOD
    assert run.metadata["session_id"] == GOOD["session_id"]
    (sent,) = sends(fake)
    assert (sent.path, sent.headers["x-api-key"]) == (f"/api/v1/run/{FLOW_ID}", fake.api_key)
    body = sent.json()
    assert re.fullmatch("call-[0-9a-f]{32}", body.pop("session_id"))
    assert body == {"input_value": "ping from dagma", "input_type": "chat", "output_type": "chat"}


def test_the_materialization_shows_the_answer_the_flow_and_what_it_took(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    fake.behave(FLOW_ID, lambda _: FakeAnswer("Pong.", model="smollm2-135m", input_tokens=38, output_tokens=8))
    metadata = execute(instance, session_id="session-7").metadata
    assert metadata.pop("duration_seconds") > 0
    assert len(metadata.pop("call_id")) == 32
    assert len(metadata.pop("flow_version")) == 16
    metadata.pop("path")
    assert metadata == {
        "status": "completed",
        "input": "ping from dagma",
        "answer": "Pong.",
        "cost_usd": "unpriced: set DAGMA_PRICES",
        "flow_id": FLOW_ID,
        "flow_name": "Assistant",
        "flow_url": f"http://langflow.example/flow/{FLOW_ID}",
        "input_tokens": 38,
        "output_tokens": 8,
        "total_tokens": 46,
        "model": "smollm2-135m",
        "session_id": "session-7",
    }


def test_logs_the_keys_of_the_response_and_nothing_of_its_contents(
    fake: FakeLangflow,
    instance: dg.DagsterInstance,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.DEBUG):
        run = execute(instance, input_value="a question that is nobody's business", session_id="session-7")
    # Dagster's own loggers write to stderr, those of libraries reach pytest.
    logs = caplog.text + "".join(capfd.readouterr())
    assert "langflow_run_flow summary=['outputs', 'session_id']" in logs
    for private in ("You said", "nobody's business", "session-7", fake.api_key):
        assert private not in logs
    assert run.success


@pytest.mark.parametrize("flow_id", [None, "", "  "])
def test_is_skipped_without_a_call_where_no_flow_is_configured(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, flow_id: str | None
) -> None:
    if flow_id is None:
        monkeypatch.delenv("LANGFLOW_DEFAULT_FLOW_ID")
    else:
        monkeypatch.setenv("LANGFLOW_DEFAULT_FLOW_ID", flow_id)
    run = execute(instance)
    assert run.success
    assert run.value == {"status": "skipped"}
    assert run.metadata["status"] == "skipped"
    assert (sends(fake), rows()) == ([], [])


def test_run_config_chooses_flow_input_types_tweaks_and_session(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    run = execute(
        instance,
        input_value="hello",
        flow_id="assistant",
        input_type="text",
        output_type="any",
        tweaks={},
        session_id="mine",
    )
    assert run.success
    (sent,) = sends(fake)
    assert sent.path == "/api/v1/run/assistant"
    assert sent.json() == {"input_value": "hello", "input_type": "text", "output_type": "any", "session_id": "mine"}


def test_a_flow_named_by_its_endpoint_is_shown_with_its_id_and_page(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    metadata = execute(instance, flow_id="assistant").metadata
    assert metadata["flow_id"] == FLOW_ID
    assert metadata["flow_url"] == f"http://langflow.example/flow/{FLOW_ID}"


@pytest.mark.parametrize("flow_id", [None, "assistant"])
def test_the_run_is_tagged_with_the_flow_by_its_name(
    fake: FakeLangflow, instance: dg.DagsterInstance, flow_id: str | None
) -> None:
    assert execute(instance, **({"flow_id": flow_id} if flow_id else {})).success
    (stored,) = instance.get_runs()
    assert stored.tags["dagma/flow"] == "assistant"


def test_a_name_of_a_flow_that_no_tag_can_hold_is_tagged_as_far_as_one_can(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    assert execute(instance, job=asset_job(Canned()), flow_id="a\0" + "b" * 100_000).success
    (stored,) = instance.get_runs()
    assert stored.tags["dagma/flow"] == "a\N{REPLACEMENT CHARACTER}" + "b" * 498


@pytest.fixture
def with_model(fake: FakeLangflow, flow: Flow) -> None:
    """The flow, of one component that has a model."""
    template = {
        "temperature": {"type": "slider", "value": 0},
        "base_url": {"type": "str", "value": ""},
        "api_key": {"type": "str", "password": True, "value": ""},
    }
    node = {"id": "Model-1", "data": {"type": "Model", "node": {"template": template}}}
    fake.add_flow("Assistant", flow, flow_id=FLOW_ID, flow={"data": {"nodes": [node], "edges": []}})


@pytest.mark.usefixtures("with_model")
@pytest.mark.parametrize(
    ("tweaks", "told"),
    [
        ({"Model-1": {"api_key": "sk-typed"}}, "DAGMA_RUN_CONFIG_TWEAKS: Model-1.api_key"),
        ({"Model-1": {"base_url": "http://typed"}}, "DAGMA_RUN_CONFIG_TWEAKS: Model-1.base_url"),
        ({"Model-1": {"temperature": {"value": "typed"}}}, "Give a plain value"),
        ({"Model-1": {"not_there": "typed"}}, "Its fields are"),
        ({"Nobody-1": {"field": "typed"}}, "Nobody-1"),
    ],
)
def test_a_tweak_that_leads_elsewhere_is_refused_unsent_and_named_without_its_value(
    fake: FakeLangflow,
    instance: dg.DagsterInstance,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tweaks: dict[str, Any],
    told: str,
) -> None:
    with caplog.at_level(logging.DEBUG):
        run = execute(instance, tweaks=tweaks)
    assert not run.is_materialized
    assert told in run.failure["description"]
    assert run.failure["may_have_run"] is False
    assert "call_id" not in run.failure, "nothing was begun"
    assert sends(fake) == []
    assert "typed" not in caplog.text + "".join(capfd.readouterr()) + str(run.failure)


@pytest.mark.usefixtures("with_model")
def test_a_tweak_of_what_a_flow_is_asked_is_sent_and_code_may_set_all(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert execute(instance, tweaks={"Model-1": {"temperature": 0.5}}).success
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", "Model-1.base_url")
    assert execute(instance, tweaks={"Model-1": {"base_url": "http://inner"}}).success
    with dg.build_resources({"backend": langflow_from_environment()}) as resources:
        resources.backend.run_flow("hi", tweaks={"Model-1": {"api_key": "sk-x"}})
    assert [request.json()["tweaks"]["Model-1"] for request in sends(fake)] == [
        {"temperature": 0.5},
        {"base_url": "http://inner"},
        {"api_key": "sk-x"},
    ]


@pytest.mark.parametrize(
    "config",
    [{"input_type": "voice"}, {"output_type": 3}, {"input_value": 5}, {"tweaks": "no"}, {"inputvalue": "typo"}],
)
def test_wrong_run_config_is_refused_before_the_run_and_named(
    fake: FakeLangflow, instance: dg.DagsterInstance, config: dict[str, Any]
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match=next(iter(config))):
        execute(instance, **config)
    assert sends(fake) == []


def test_recording_no_texts_keeps_the_answer_out_of_metadata_and_storage(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_RECORD_TEXTS", "none")
    run = execute(instance)
    assert run.value == {"status": "completed", "keys": ["outputs", "session_id"]}
    assert {"input", "answer"}.isdisjoint(run.metadata)
    assert run.metadata["total_tokens"] == 38


def test_a_word_for_recorded_texts_that_there_is_not_fails_the_run_before_the_call(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_RECORD_TEXTS", "some")
    assert not execute(instance).success
    assert sends(fake) == []


def test_a_flow_whose_name_cannot_be_looked_up_is_materialized_and_tagged_all_the_same(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    fake.script(Fault(path="/api/v1/flows", status=404, times=0))
    run = execute(instance)
    assert run.success
    assert "flow_name" not in run.metadata
    (stored,) = instance.get_runs()
    assert stored.tags["dagma/flow"] == FLOW_ID


class Canned(Backend):
    """A backend of one's own, as the contract's docstring shows it."""

    def answer(self, request: CallRequest) -> dict[str, Any]:
        return {"text": f"You said {request.input_value}."}

    def default_flow(self) -> str:
        return "canned"


class Bare(Canned):
    """A backend with a `run_flow` of its own, which goes past the ledger."""

    def run_flow(self, input_value: str, *_: Any, **__: Any) -> dict[str, Any]:
        return {"text": f"You said {input_value}."}


def test_another_backend_answers_without_a_change_of_the_asset(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    run = execute(instance, job=asset_job(Canned()), input_value="hi")
    assert run.value == {"text": "You said hi."}
    assert run.metadata["answer"] == "You said hi."
    assert run.metadata["flow_id"] == "canned"
    assert "call_id" in run.metadata


def test_a_class_with_the_same_method_is_enough(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    run = execute(instance, job=asset_job(Bare()), input_value="hi")
    assert run.value == {"text": "You said hi."}
    assert run.metadata["status"] == "completed"
    assert run.metadata["flow_id"] == "canned"
