"""Facts about background jobs, and what the client makes of them."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from contract.conftest import Flows, LangflowServer, real_only

from dagma.langflow import (
    BadRequest,
    CompletedWithoutOutput,
    Conflict,
    FlowFailed,
    HumanRequest,
    JobCancelled,
    JobNotFound,
    JobSuspended,
    LangflowClient,
)

FAIL = {"Behave-1": {"fail_with": "The model is away."}}
LONG = {"Behave-1": {"seconds": 20.0}}


def test_a_job_is_submitted_followed_and_collected(client: LangflowClient, flows: Flows):
    job_id = client.submit(flows.behave, "hello", tweaks={"Behave-1": {"seconds": 0.5}}, session_id="contract-job")
    events = list(client.follow(job_id))
    kinds = [(event.kind, event.component) for event in events if event.kind.startswith("component")]
    assert kinds == [
        ("component_started", "ChatInput-behave"),
        ("component_finished", "ChatInput-behave"),
        ("component_started", "Behave-1"),
        ("component_finished", "Behave-1"),
        ("component_started", "ChatOutput-behave"),
        ("component_finished", "ChatOutput-behave"),
    ]
    assert (events[0].kind, events[-1].kind) == ("started", "finished")
    assert (events[-1].done, events[-1].total) == (3, 3)
    result = client.collect(job_id)
    assert (result.answer, result.session_id, result.job_id) == ("hello", "contract-job", job_id)
    assert result.seconds is not None


def test_events_replay_from_the_last_one_that_was_read(client: LangflowClient, flows: Flows):
    job_id = client.submit(flows.echo, "hello")
    events = list(client.follow(job_id))
    all_ids = [int(event.id or 0) for event in events]
    assert all_ids == sorted(all_ids)
    middle = events[len(events) // 2].id
    rest = [(event.kind, event.component, event.id) for event in client.follow(job_id, middle)]
    assert rest == [
        (event.kind, event.component, event.id) for event in events if int(event.id or 0) > int(middle or 0)
    ]
    assert list(client.follow(job_id, events[-1].id)) == []


def test_a_key_returns_its_job_whatever_the_payload_and_always_says_queued(
    langflow_server: LangflowServer, flows: Flows
):
    key = str(uuid4())
    first = langflow_server.submit(flows.echo, input_value="one", idempotency_key=key).json()
    assert langflow_server.ended_job(first["job_id"]).json()["status"] == "completed"
    second = langflow_server.submit(flows.behave, input_value="two", idempotency_key=key).json()
    assert second["job_id"] == first["job_id"]
    assert (second["status"], second["flow_id"]) == ("queued", flows.behave)


def test_submissions_of_a_key_at_the_same_time_get_one_job(client: LangflowClient, flows: Flows):
    key, tweaks = str(uuid4()), {"Behave-1": {"seconds": 1.0}}
    with ThreadPoolExecutor(8) as callers:
        submitted = [
            callers.submit(client.submit, flows.behave, "hello", idempotency_key=key, tweaks=tweaks) for _ in range(8)
        ]
        (job_id,) = {each.result() for each in submitted}
    assert client.collect(job_id).answer == "hello"


def test_the_client_binds_a_key_to_its_payload(client: LangflowClient, flows: Flows):
    key = str(uuid4()) + "x" * 400
    first = client.submit(flows.echo, "one", idempotency_key=key)
    assert client.submit(flows.echo, "one", idempotency_key=key) == first
    others = [
        client.submit(flows.echo, "two", idempotency_key=key),
        client.submit(flows.behave, "one", idempotency_key=key),
        client.submit(flows.echo, "one", idempotency_key=key, session_id="another"),
        client.submit(flows.echo, "one", idempotency_key=key + "y"),
        client.submit(flows.echo, "one"),
    ]
    assert len({first, *others}) == 6
    assert client.collect(first).answer == "one"
    assert client.collect(others[0]).answer == "two"


@pytest.mark.parametrize("end", ["failed", "stopped"])
def test_a_job_that_failed_or_was_stopped_frees_its_key(client: LangflowClient, flows: Flows, end: str):
    key = str(uuid4())
    submit: dict[str, Any] = {"idempotency_key": key, "tweaks": FAIL if end == "failed" else LONG}
    first = client.submit(flows.behave, "hello", **submit)
    if end == "stopped":
        client.stop(first)
    with pytest.raises(FlowFailed if end == "failed" else JobCancelled):
        client.collect(first)
    second = client.submit(flows.behave, "hello", **submit)
    assert second != first
    client.stop(second)


def test_a_failed_job_names_its_component(client: LangflowClient, flows: Flows):
    job_id = client.submit(flows.behave, "hello", tweaks=FAIL)
    kinds = [event.kind for event in client.follow(job_id)]
    assert "failed" in kinds
    assert "component_failed" in kinds
    with pytest.raises(FlowFailed) as caught:
        client.collect(job_id)
    assert caught.value.component == "Behave"
    assert "The model is away" in str(caught.value)
    assert client.status(job_id).state == "failed"


def test_a_job_whose_variable_is_missing_completes_without_output(
    langflow_server: LangflowServer, client: LangflowClient, flows: Flows
):
    job_id = client.submit(flows.unbound, "hello")
    body = langflow_server.ended_job(job_id).json()
    assert (body["status"], body["output"]["reason"], body["outputs"]) == ("completed", "none", {})
    with pytest.raises(CompletedWithoutOutput, match="DAGMA_CONTRACT_NO_SUCH_VARIABLE"):
        client.collect(job_id)


def test_a_running_job_is_stopped(langflow_server: LangflowServer, client: LangflowClient, flows: Flows):
    job_id = client.submit(flows.behave, "hello", tweaks=LONG)
    langflow_server.wait_for_state(job_id, "in_progress")
    assert client.stop(job_id) is True
    with pytest.raises(JobCancelled):
        client.collect(job_id)
    # In between it may say failed, for some 50 ms.
    langflow_server.wait_for_state(job_id, "cancelled")
    assert client.stop(job_id) is True


def test_a_stop_ends_the_stream_of_events(langflow_server: LangflowServer, client: LangflowClient, flows: Flows):
    job_id = client.submit(flows.behave, "hello", tweaks=LONG)
    stream = client.follow(job_id)
    assert next(stream).kind == "started"
    client.stop(job_id)
    rest = [event.kind for event in stream]
    assert "finished" not in rest


def test_stopping_a_job_that_finished_changes_nothing(client: LangflowClient, flows: Flows):
    job_id = client.submit(flows.echo, "hello")
    client.collect(job_id)
    assert client.stop(job_id) is False
    assert client.status(job_id).state == "completed"


@pytest.mark.parametrize("act", ["status", "stop", "collect", "follow"])
def test_a_job_that_is_not_there_is_not_found(client: LangflowClient, act: str):
    with pytest.raises(JobNotFound):
        list(getattr(client, act)(str(uuid4())))


def test_a_job_that_asks_a_human_waits_and_goes_on(client: LangflowClient, flows: Flows):
    job_id = client.submit(flows.approval, "May I?", session_id=str(uuid4()))
    assert [event.text for event in client.follow(job_id)][-1] == "May I?"
    with pytest.raises(JobSuspended):
        client.collect(job_id)
    request = pending(client, flows.approval, job_id)
    assert (request.prompt, set(request.decisions)) == ("May I?", {"approve", "reject"})
    with pytest.raises(BadRequest):
        client.resume(request, "dither")
    client.resume(request, "approve")
    assert client.collect(job_id).answer == "May I?"
    with pytest.raises(Conflict):
        client.resume(request, "approve")


def test_a_job_that_waits_can_be_stopped(client: LangflowClient, flows: Flows):
    job_id = client.submit(flows.approval, "May I?", session_id=str(uuid4()))
    list(client.follow(job_id))
    assert client.stop(job_id) is True
    assert job_id not in [request.job_id for request in client.pending(flows.approval)]


@real_only
def test_a_job_that_waits_is_cancelled_by_the_next_of_its_session_and_by_no_other(client: LangflowClient, flows: Flows):
    session, key = str(uuid4()), str(uuid4())
    first = client.submit(flows.approval, "May I?", session_id=session, idempotency_key=key)
    list(client.follow(first))
    assert client.submit(flows.approval, "May I?", session_id=session, idempotency_key=key) == first
    another = client.submit(flows.approval, "May I?", session_id=str(uuid4()))
    assert client.status(first).state == "suspended"
    second = client.submit(flows.approval, "And now?", session_id=session)
    assert client.status(first).state == "cancelled"
    list(client.follow(another))
    assert client.status(another).state == "suspended"
    for job_id in (another, second):
        client.stop(job_id)


def test_a_text_of_a_million_characters_is_cut_in_the_state_and_whole_in_the_result(
    langflow_server: LangflowServer, client: LangflowClient, flows: Flows
):
    # The servers under test set LANGFLOW_MAX_TEXT_LENGTH to a million; it is 6000 by default.
    job_id = client.submit(flows.behave, "0123456789", tweaks={"Behave-1": {"repeat": 100_001}})
    text = langflow_server.ended_job(job_id).json()["output"]["text"]
    assert (len(text), text[-4:]) == (1_000_003, "9...")
    answer = client.collect(job_id).answer
    assert answer is not None
    assert len(answer) == 1_000_010


def test_a_message_names_what_fed_its_output_and_the_users_names_nothing(client: LangflowClient, flows: Flows):
    events = client.follow(client.submit(flows.behave, "hello"))
    told = {(event.data["data"]["sender"], event.component, event.text) for event in events if event.kind == "message"}
    assert told == {("User", None, "hello"), ("Machine", "Behave-1", "hello")}


def test_more_jobs_than_run_at_a_time_all_finish(client: LangflowClient, flows: Flows):
    tweaks = {"Behave-1": {"seconds": 0.2}}
    jobs = {f"number {number}": client.submit(flows.behave, f"number {number}", tweaks=tweaks) for number in range(7)}
    started = time.monotonic()
    assert {text: client.collect(job_id).answer for text, job_id in jobs.items()} == {text: text for text in jobs}
    assert time.monotonic() - started < 60


def pending(client: LangflowClient, flow_id: str, job_id: str) -> HumanRequest:
    (request,) = (request for request in client.pending(flow_id) if request.job_id == job_id)
    return request
