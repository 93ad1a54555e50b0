"""What is read of past runs once Langflow has pruned what it knew of them, or where it cuts what they gave."""

import pytest

from dagma.langflow import LangflowClient, PastRun, TruncatedAnswer
from dagma.testing import FakeLangflow, Fault

PRUNED = Fault(path="/workflows", status=404, body={"detail": {"code": "JOB_NOT_FOUND"}}, times=0)


def past_run(fake: FakeLangflow, client: LangflowClient, job: Fault) -> PastRun:
    """Run a flow, and find the run when Langflow tells so of its job."""
    client.run(fake.add_flow("capital"), "hi", session_id="call-1")
    fake.script(job)
    (run,) = client.past_runs("call-1")
    return run


def test_a_run_whose_job_is_pruned_is_not_told_as_answered(fake_langflow: FakeLangflow, client: LangflowClient):
    run = past_run(fake_langflow, client, PRUNED)
    assert run.trace is not None
    assert run.state == "gone"


def test_a_list_that_langflow_cuts_is_no_answer_of_a_past_run(fake_langflow: FakeLangflow, client: LangflowClient):
    state = {
        "status": "completed",
        "output": {"reason": "none", "text": None},
        "outputs": {"Records-1": {"type": "data", "content": [{"id": 1}, "... [truncated 500 items]"]}},
    }
    run = past_run(fake_langflow, client, Fault(path="/workflows", status=200, body=state, times=0))
    with pytest.raises(TruncatedAnswer, match="after 1 items"):
        client.past_answer(run)
