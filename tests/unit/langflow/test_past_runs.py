"""What is read of past runs once Langflow has pruned what it knew of them, or where it cuts what they gave."""

from contextlib import suppress

import pytest

from dagma.langflow import FlowFailed, LangflowClient, PastRun, TruncatedAnswer
from dagma.testing import ComponentFailed, FakeCall, FakeLangflow, Fault

PRUNED = Fault(path="/workflows", status=404, body={"detail": {"code": "JOB_NOT_FOUND"}}, times=0)


def answer_or_fail(call: FakeCall) -> str:
    if call.input_value == "fail":
        raise ComponentFailed("Model", "no such model")
    return "Paris"


def past_run(fake: FakeLangflow, client: LangflowClient, asked: str, job: Fault) -> PastRun:
    """Run a flow, and find the run when Langflow tells so of its job."""
    with suppress(FlowFailed):
        client.run(fake.add_flow("capital", answer_or_fail), asked, session_id="call-1")
    fake.script(job)
    (run,) = client.past_runs("call-1")
    return run


def test_a_run_that_answered_is_found_by_its_trace_once_its_job_is_pruned(
    fake_langflow: FakeLangflow, client: LangflowClient
):
    run = past_run(fake_langflow, client, "Capital of France?", PRUNED)
    assert (run.state, client.past_answer(run).answer) == ("completed", "Paris")


def test_a_run_that_failed_is_not_told_as_answered_once_its_job_is_pruned(
    fake_langflow: FakeLangflow, client: LangflowClient
):
    run = past_run(fake_langflow, client, "fail", PRUNED)
    assert run.trace is not None
    assert run.state == "gone"


def test_a_list_that_langflow_cuts_is_no_answer_of_a_past_run(fake_langflow: FakeLangflow, client: LangflowClient):
    state = {
        "status": "completed",
        "output": {"reason": "none", "text": None},
        "outputs": {"Records-1": {"type": "data", "content": [{"id": 1}, "... [truncated 500 items]"]}},
    }
    run = past_run(fake_langflow, client, "hi", Fault(path="/workflows", status=200, body=state, times=0))
    with pytest.raises(TruncatedAnswer, match="after 1 items"):
        client.past_answer(run)
