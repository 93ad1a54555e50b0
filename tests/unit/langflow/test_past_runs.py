"""What is read of past runs once Langflow has pruned what it knew of them, or where it cuts what they gave."""

import pytest

from dagma.langflow import CallTimeout, JobLost, JobNotFound, LangflowClient, LangflowError, PastRun, TruncatedAnswer
from dagma.testing import FakeLangflow, Fault

PRUNED = Fault(path="/workflows", status=404, body={"detail": {"code": "JOB_NOT_FOUND"}}, times=0)
RUNNING = Fault(path="/workflows", status=200, body={"status": "in_progress"}, times=0)
LOST = {"detail": {"code": "JOB_FAILED", "error_detail": {"type": "worker_lost"}}}


def past_run(fake: FakeLangflow, client: LangflowClient, job: Fault) -> PastRun:
    """Run a flow, and find the run when Langflow tells so of its job."""
    client.run(fake.add_flow("capital"), "hi", session_id="call-1")
    fake.script(job)
    (run,) = client.past_runs("call-1")
    return run


@pytest.mark.parametrize(
    ("job", "state", "error"),
    [
        (PRUNED, "gone", JobNotFound),
        (RUNNING, "running", CallTimeout),
        (Fault(path="/workflows", status=500, body=LOST, times=0), "lost", JobLost),
    ],
    ids=["gone", "running", "lost"],
)
def test_a_run_that_has_not_answered_says_why(
    fake_langflow: FakeLangflow, client: LangflowClient, job: Fault, state: str, error: type[LangflowError]
):
    run = past_run(fake_langflow, client, job)
    assert run.trace is not None
    assert run.state == state
    with pytest.raises(error):
        client.past_answer(run)


def test_a_list_that_langflow_cuts_is_no_answer_of_a_past_run(fake_langflow: FakeLangflow, client: LangflowClient):
    state = {
        "status": "completed",
        "output": {"reason": "none", "text": None},
        "outputs": {"Records-1": {"type": "data", "content": [{"id": 1}, "... [truncated 500 items]"]}},
    }
    run = past_run(fake_langflow, client, Fault(path="/workflows", status=200, body=state, times=0))
    with pytest.raises(TruncatedAnswer, match="after 1 items"):
        client.past_answer(run)
