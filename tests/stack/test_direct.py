"""Direct calls on the shipped stack when something dies: what may have been paid for is not sent again."""

from harness.stack import Stack, wait_until
from stack.conftest import Dagster, retry_of, rows, sleeping

STEP_START = 'Started execution of step "langflow_run_flow".'
ANSWER_SECONDS = 20.0


def launch_direct(stack: Stack, dagster: Dagster, flow_id: str) -> str:
    """Launch a direct call that takes a while; return once its row in the ledger says that it is sent."""
    run_id = dagster.launch(
        input_value="slept", flow_id=flow_id, tweaks=sleeping(ANSWER_SECONDS), mode="direct", session_id="direct"
    )
    wait_until("the step's start", lambda: STEP_START in dagster.messages(run_id), seconds=30)
    wait_until("the call", lambda: rows(stack, run_id), seconds=15)
    return run_id


def test_a_direct_call_whose_worker_is_killed_is_not_sent_again(stack: Stack, dagster: Dagster, behave: str) -> None:
    run_id = launch_direct(stack, dagster, behave)
    stack.kill("worker")

    outcome = dagster.finish(retry_of(dagster, run_id))
    assert outcome.status == "FAILURE"
    assert "was sent, and its caller died or lost the connection before the answer" in outcome.failure
    assert [(row["state"], row["attempt"]) for row in rows(stack, run_id)] == [("unknown", 1)]


def test_a_direct_call_that_died_with_langflow_is_not_sent_again(stack: Stack, dagster: Dagster, behave: str) -> None:
    run_id = launch_direct(stack, dagster, behave)
    stack.kill("langflow")

    outcome = dagster.finish(run_id)
    assert outcome.status == "FAILURE"
    assert outcome.metadata["may_have_run"] is True
    assert [(row["state"], row["attempt"]) for row in rows(stack, run_id)] == [("unknown", 1)]
    stack.wait_health("langflow", "healthy", seconds=300)


def test_a_direct_call_outlasts_a_kill_of_what_it_does_not_need(stack: Stack, dagster: Dagster, behave: str) -> None:
    run_id = launch_direct(stack, dagster, behave)
    for service in ("user-code", "dagster-daemon", "redis"):
        stack.kill(service)

    outcome = dagster.finish(run_id)
    assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "slept")
    assert [(row["state"], row["attempt"]) for row in rows(stack, run_id)] == [("answered", 1)]
    for service in ("user-code", "dagster-daemon", "redis"):
        stack.wait_health(service, "healthy", seconds=120)
