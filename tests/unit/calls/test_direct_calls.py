"""Direct calls: each answered once, whatever happens to the run."""

import contextvars
import gc
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import dagster as dg
import pytest
from dagster._serdes import serialize_value
from unit.calls.conftest import FLOW_ID, NO_HISTORY, Flow, asset_job, execute, rows, sends

from dagma.backends.backend import Backend
from dagma.backends.langflow.langflow_resource import LangflowRestResource, langflow_from_environment
from dagma.calls import request, retrying
from dagma.calls.call_policy import CallPolicy
from dagma.calls.request import CallRequest
from dagma.langflow import BadRequest
from dagma.testing import ComponentFailed, FakeLangflow, Fault


def test_a_call_leaves_one_row_that_says_who_asked_what_and_what_it_took(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    run = execute(instance, input_value="hi", session_id="s-1")
    (row,) = rows()
    assert row["state"] == "answered"
    assert (row["flow_id"], row["flow_name"], len(row["flow_version"])) == (FLOW_ID, "assistant", 16)
    assert (row["run_id"], row["step"], row["attempt"]) == (run.run.run_id, "langflow_run_flow", 1)
    assert (row["backend"], row["mode"], row["session_id"]) == ("langflow", "direct", "s-1")
    assert (row["input_tokens"], row["output_tokens"], row["total_tokens"], row["model"]) == (30, 8, 38, "gpt-4o")
    assert (row["input_text"], row["answer_text"]) == ("hi", "You said hi.")
    metadata = run.metadata
    assert metadata["call_id"] == row["id"]
    assert metadata["cost_usd"] == float(row["cost"]) > 0


def test_a_retried_run_gets_the_answer_without_a_request(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    first = execute(instance, input_value="hi")
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert len(sends(fake)) == 1
    assert retry.success
    assert retry.metadata["origin"] == "replayed"
    for label in ("answer", "total_tokens", "cost_usd", "call_id"):
        assert retry.metadata[label] == first.metadata[label]


def test_a_run_executed_again_from_scratch_sends_again(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    first = execute(instance, input_value="hi")
    again = execute(instance, parent=first, input_value="hi")
    assert "origin" not in again.metadata
    assert len(sends(fake)) == 2


def test_the_retry_of_a_run_that_started_over_finds_that_runs_answer(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    first = execute(instance, input_value="hi")
    over = execute(instance, parent=first, input_value="hi")
    retry = execute(instance, parent=over, retry=True, input_value="hi")
    second_retry = execute(instance, parent=retry, retry=True, input_value="hi")
    assert retry.run.root_run_id == first.run.run_id
    assert {each.metadata["call_id"] for each in (over, retry, second_retry)} == {over.metadata["call_id"]}
    assert over.metadata["call_id"] != first.metadata["call_id"]


def test_another_input_is_another_call(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    first = execute(instance, input_value="hi")
    retry = execute(instance, parent=first, retry=True, input_value="ho")
    assert retry.metadata["answer"] == "You said ho."
    assert "origin" not in retry.metadata


def test_a_call_of_which_nobody_can_tell_is_not_sent_again(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    fake.script(Fault(path="/api/v1/run", after_work=True, drop=True), NO_HISTORY)
    first = execute(instance, input_value="hi")
    assert (first.failure["error"], first.failure["may_have_run"]) == ("Unreachable", True)
    assert [row["state"] for row in rows()] == ["unknown"]

    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert (retry.failure["error"], retry.retries) == ("OutcomeUnknownError", 0)
    call_id = rows()[0]["id"]
    for failure in (first.failure["fix"], retry.failure["cause"]):
        assert f"dagma ledger resolve {call_id[:8]} --resend" in failure
        assert f"dagma ledger resolve {call_id[:8]} --give-up" in failure
    assert first.failure["call_id"] == retry.failure["call_id"] == call_id
    assert len(sends(fake)) == 1


def test_a_call_that_was_refused_is_sent_again_by_the_step(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server asks for a longer wait than the call may take: the client leaves it to the step.
    monkeypatch.setenv("LANGFLOW_TIMEOUT_SECONDS", "0.9")
    waits: list[float] = []
    monkeypatch.setattr(retrying, "wait_for_retry", lambda _, seconds: waits.append(seconds))
    fake.script(Fault(path="/api/v1/run", status=429, headers={"Retry-After": "1"}))
    run = execute(instance, input_value="hi")
    assert (run.success, run.retries, run.metadata["attempt"]) == (True, 1, 2)
    (wait,) = waits
    assert 1 <= wait <= 2
    assert [(row["attempt"], row["state"], row["error_class"]) for row in rows()] == [
        (1, "failed", "RateLimited"),
        (2, "answered", None),
    ]


@pytest.mark.parametrize("mode", ["direct", "job"])
@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"api_key": dg.EnvVar("A_BAD_KEY")}, "api_key must be printable"),
        ({"base_url": "langflow:7860"}, "The base URL must look like"),
        ({"basic_user": "u"}, "basic_user is set without basic_password"),
    ],
    ids=["key", "base URL", "pair"],
)
def test_a_setting_that_can_not_be_used_fails_the_call_once_and_is_recorded(
    fake: FakeLangflow,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    cause: str,
    mode: str,
) -> None:
    monkeypatch.setenv("A_BAD_KEY", "sk-a\nhidden-key")
    backend = LangflowRestResource(**{"base_url": fake.base_url, "default_flow_id": FLOW_ID, "mode": mode, **settings})
    run = execute(instance, job=asset_job(backend), input_value="hi")
    failure = run.failure
    assert (failure["error"], failure["may_have_run"], run.retries) == ("BadRequest", False, 0)
    assert cause in failure["cause"]
    assert "settings" in failure["fix"]
    assert "hidden" not in str(failure)
    assert [(row["state"], row["error_class"], row["mode"]) for row in rows()] == [("failed", "BadRequest", mode)]
    assert fake.requests == []


def test_a_flow_that_failed_is_sent_again_by_a_retry_as_a_new_attempt(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance
) -> None:
    flow.raises = ComponentFailed("Model", "no such model")
    first = execute(instance, input_value="hi")
    assert first.failure["error"] == "FlowFailed"
    assert first.failure["call_id"] == rows()[0]["id"]
    assert "attempt" not in first.failure
    flow.raises = None
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert retry.metadata["attempt"] == 2


def test_a_call_over_quota_fails_once_unsent_and_says_which_limit_and_when_it_frees(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_QUOTAS", "flow:assistant calls=1/month")
    assert execute(instance, input_value="hi").success
    run = execute(instance, input_value="ho")
    failure = run.failure
    assert (failure["error"], run.retries) == ("QuotaExceededError", 0)
    assert "'flow:assistant calls=1/month' leaves no room: 1 used, 1 needed" in failure["cause"]
    assert "It frees at" in failure["cause"]
    assert len(sends(fake)) == 1
    answered, refused = rows()
    assert (answered["state"], refused["state"], refused["refusals"]) == ("answered", "refused", 1)
    assert (refused["flow_name"], refused["flow_title"]) == ("assistant", answered["flow_title"])


def test_a_flow_named_by_its_endpoint_has_the_same_key_when_it_cannot_be_looked_up(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    first = execute(instance, input_value="hi", flow_id="assistant")
    fake.script(Fault(path="/api/v1/flows", status=500, times=0))
    retry = execute(instance, parent=first, retry=True, input_value="hi", flow_id="assistant")
    assert retry.metadata["origin"] == "replayed"
    assert len(sends(fake)) == 1


@pytest.mark.parametrize(("status", "retries"), [(503, 2), (403, 0)])
def test_a_call_is_not_sent_while_its_flow_and_so_its_quota_is_not_known(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, status: int, retries: int
) -> None:
    monkeypatch.setenv("DAGMA_QUOTAS", "flow:assistant calls=1/month")
    fake.script(Fault(path="/api/v1/flows", status=status, times=0))
    run = execute(instance, input_value="hi")
    assert (run.failure["error"], run.failure["may_have_run"], run.retries) == ("FlowNotIdentified", False, retries)
    assert "flow:assistant calls=1/month" in run.failure["cause"]
    assert f"{status}" in run.failure["cause"]
    assert run.failure["fix"]
    (row,) = rows()
    assert (sends(fake), row["state"], row["refusals"]) == ([], "refused", retries + 1)


def test_a_flow_that_can_not_be_looked_up_is_asked_for_once(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    fake.script(Fault(path="/api/v1/flows", status=404, times=0))
    assert execute(instance, input_value="hi").success
    assert len([request for request in fake.requests if request.path.startswith("/api/v1/flows")]) == 1


@pytest.mark.parametrize(
    "fault",
    [Fault(drop=True), Fault(delay=20.0), Fault(status=200, body="<html>Log in</html>")],
    ids=["drop", "silence", "login page"],
)
def test_a_look_up_without_an_answer_costs_no_call(fake: FakeLangflow, fault: Fault) -> None:
    fake.script(replace(fault, path="/api/v1/flows", times=0))
    backend = langflow_from_environment(CallPolicy(look_up_seconds=0.3))
    assert backend.read(backend.run_flow("hi")).text == "You said hi."
    (row,) = rows()
    assert (row["state"], row["error_class"], row["flow_id"]) == ("answered", None, FLOW_ID)


def test_a_quota_holds_while_its_flow_can_not_be_looked_up(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_QUOTAS", "flow:assistant calls=2/month")
    assert execute(instance, input_value="1").success
    fake.script(Fault(path="/api/v1/flows", status=503, times=0))
    assert execute(instance, input_value="2").success
    assert execute(instance, input_value="3").failure["error"] == "QuotaExceededError"


@dg.asset
def asks_through_two_objects(context: dg.AssetExecutionContext) -> list[str]:
    one, other = langflow_from_environment(), langflow_from_environment()
    answers = [str(backend.run_flow("hi")["session_id"]) for backend in (one, other, one)]
    if context.retry_number == 0:
        raise dg.RetryRequested(max_retries=1)
    return answers


def test_equal_calls_through_two_objects_of_a_backend_are_each_sent_once(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    gc.collect()
    kept = len(request._CALLERS)
    assert execute(instance, job=asset_job(None, asks_through_two_objects)).success
    assert len(sends(fake)) == 3
    assert [row["row_key"] for row in rows()] == [None, "#2", "#3"]
    gc.collect()
    assert len(request._CALLERS) <= kept, "they are forgotten with their steps"


def test_a_call_with_a_blank_session_has_one_of_its_own(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    for question in ("My name is Anna.", "What is my name?"):
        execute(instance, input_value=question, session_id="")
    sessions = {sent.json()["session_id"] for sent in sends(fake)}
    assert (len(sessions), {session[:5] for session in sessions}) == (2, {"call-"})


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def asks_in_threads(backend: Backend) -> None:
    with ThreadPoolExecutor(4) as threads:
        asked = [
            threads.submit(contextvars.copy_context().run, partial(backend.run_flow, f"question {row}", row=row))
            for row in "1234"
        ]
    for each in asked:
        each.result()


def test_calls_of_threads_are_told_apart_by_row_and_found_by_a_retry(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    job = asset_job(None, asks_in_threads)
    first = execute(instance, job=job, tags={"dagster/partition": "a"})
    assert first.success
    assert sorted((row["row_key"], row["partition_key"]) for row in rows()) == [(row, "a") for row in "1234"]
    assert execute(instance, job=job, tags={"dagster/partition": "a"}, parent=first, retry=True).success
    assert len(sends(fake)) == 4
    assert execute(instance, job=job, tags={"dagster/partition": "b"}, parent=first, retry=True).success
    assert len(sends(fake)) == 8


@dg.asset
def asks_in_a_thread(context: dg.AssetExecutionContext, backend: Backend) -> None:
    def ask(question: str) -> str:
        return str(backend.run_flow(question, row=context.run.tags.get("row"))["session_id"])

    run = contextvars.copy_context().run if "knows its step" in context.run.tags else lambda work, *of: work(*of)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(run, ask, "hi").result()
    if context.retry_number == 0:
        raise dg.RetryRequested(max_retries=1)


@pytest.mark.parametrize("tags", [{}, {"row": "1"}], ids=["without a row", "with a row"])
def test_a_call_of_a_thread_that_does_not_know_its_step_is_refused_with_the_fix(
    fake: FakeLangflow, instance: dg.DagsterInstance, tags: dict[str, str]
) -> None:
    run = execute(instance, job=asset_job(None, asks_in_a_thread), tags=tags)
    (failure,) = [event.step_failure_data.error for event in run.events if event.is_step_failure]
    assert failure is not None
    assert "contextvars.copy_context().run" in failure.to_string()
    assert (sends(fake), rows()) == ([], [])


def test_a_call_of_a_thread_that_knows_its_step_is_found_by_the_steps_retry(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    assert execute(instance, job=asset_job(None, asks_in_a_thread), tags={"knows its step": "yes"}).success
    assert len(sends(fake)) == 1


class Odd(Backend):
    """Gives what can't be used until told otherwise."""

    response: str = "unreadable"

    def answer(self, request: CallRequest) -> dict[str, Any]:
        if self.response == "unreadable":
            return {"txt": "a typo"}
        if self.response == "no JSON":
            return {"text": "yes", "more": {1, 2}}
        if self.response == "raises":
            raise ConnectionError("It hung up.")
        return {
            "text": "fine",
            "asked": request.input_value,
            "usage": {"model": "own", "input_tokens": 3, "output_tokens": 4},
        }

    def default_flow(self) -> str:
        return "odd"


def ask_odd(instance: dg.DagsterInstance, response: str, **options: Any) -> Any:
    return execute(instance, job=asset_job(Odd(response=response)), input_value="hi", **options)


def test_an_answer_that_cannot_be_read_is_rejected_so_that_a_retry_sends_anew(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    first = ask_odd(instance, "unreadable")
    assert first.failure["error"] == "MalformedResponse"
    (row,) = rows()
    assert row["state"] == "answered"
    assert "no text" in row["rejected_reason"]
    retry = ask_odd(instance, "fine", parent=first, retry=True)
    assert (retry.metadata["answer"], retry.metadata["attempt"]) == ("fine", 2)
    assert (retry.metadata["total_tokens"], retry.metadata["model"]) == (7, "own")


def test_a_response_that_is_no_json_fails_for_good(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    run = ask_odd(instance, "no JSON")
    assert "can't be written as JSON" in run.failure["cause"]
    assert [row["state"] for row in rows()] == ["failed"]


def test_an_error_of_a_backends_own_leaves_the_outcome_unknown(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    run = ask_odd(instance, "raises")
    assert (run.failure["error"], run.failure["may_have_run"]) == ("BackendError", True)
    assert "It hung up." in run.failure["cause"]
    assert [row["state"] for row in rows()] == ["unknown"]


SAID = "Could not parse 'a private answer' of https://model.example/v1?api_key=abcd1234efgh"


class Quoting(Odd):
    """Raises an error that quotes an answer and a key."""

    def answer(self, request: CallRequest) -> dict[str, Any]:
        raise ValueError(f"{SAID} to {request.input_value}")


@pytest.mark.parametrize(("texts", "is_shown"), [("full", True), ("none", False)])
def test_what_a_backend_raised_is_shown_without_keys_and_where_no_texts_are_recorded_not_at_all(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, texts: str, is_shown: bool
) -> None:
    monkeypatch.setenv("DAGMA_RECORD_TEXTS", texts)
    run = execute(instance, job=asset_job(Quoting()), input_value="hi")
    stored = "".join(serialize_value(event) for event in run.events)
    assert "ValueError" in run.failure["cause"]
    assert "in answer" in stored, "the line that raised it"
    assert ("a private answer" in stored) is is_shown
    assert "abcd1234efgh" not in stored


@pytest.mark.parametrize("given", ["text", "variables"])
def test_a_program_without_dagster_calls_the_same_way(fake: FakeLangflow, given: str) -> None:
    backend = (
        LangflowRestResource(base_url=fake.base_url, api_key=fake.api_key, default_flow_id=FLOW_ID)
        if given == "text"
        else langflow_from_environment()
    )
    first, second = backend.run_flow("hi"), backend.run_flow("hi")
    assert replace(backend.read(first), session_id=None) == replace(backend.read(second), session_id=None)
    assert fake.requests[-1].path == f"/api/v1/run/{FLOW_ID}"
    assert [(row["state"], row["run_id"]) for row in rows()] == [("answered", None)] * 2


def test_a_program_without_dagster_is_told_of_a_variable_that_is_not_set(
    fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = langflow_from_environment()
    monkeypatch.delenv("LANGFLOW_API_KEY")
    with pytest.raises(BadRequest, match="LANGFLOW_API_KEY is not set"):
        backend.run_flow("hi")
    assert fake.requests == []
    assert [(row["state"], row["error_class"]) for row in rows()] == [("failed", "BadRequest")]


def test_the_response_of_a_stream_is_that_of_a_direct_call(fake: FakeLangflow) -> None:
    backend = LangflowRestResource(base_url=fake.base_url, api_key=fake.api_key, default_flow_id=FLOW_ID)
    plain, streamed = backend.run_flow("hi"), backend.run_flow("hi", stream=True)
    assert [request.query for request in sends(fake)] == [{}, {"stream": "true"}]
    assert shape(streamed) == shape(plain)
    assert replace(backend.read(streamed), session_id=None) == replace(backend.read(plain), session_id=None)


def shape(value: Any) -> Any:
    """What a response is made of, without its values."""
    if isinstance(value, Mapping):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value)
