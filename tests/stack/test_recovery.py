"""What restarts, dies or is cancelled, and what becomes of its runs, on the shipped stack."""

import pytest
from harness.stack import Stack, wait_until
from stack.conftest import ASSET, Dagster, sleeping

QUESTION = "What is the capital of France?"
STEP_START = 'Started execution of step "langflow_run_flow".'


def launch_sleeping(dagster: Dagster, flow_id: str, seconds: float) -> str:
    """Launch a call that takes this long; return once the worker executes it."""
    run_id = dagster.launch(input_value="slept", flow_id=flow_id, tweaks=sleeping(seconds))
    wait_until("the step's start", lambda: STEP_START in dagster.messages(run_id), seconds=30)
    return run_id


@pytest.mark.parametrize("service", ["dagster-webserver", "dagster-daemon", "user-code", "worker", "redis"])
def test_works_again_without_help_after_a_restart_of(service: str, stack: Stack, dagster: Dagster) -> None:
    stack.run("restart", service)
    stack.wait_health(service, "healthy", seconds=180)

    outcome = dagster.ask_when_served(input_value=QUESTION)
    assert outcome.status == "SUCCESS", outcome
    assert "Paris" in outcome.metadata["answer"]


def test_a_run_goes_on_while_user_code_is_redeployed(stack: Stack, dagster: Dagster, behave: str) -> None:
    run_id = launch_sleeping(dagster, behave, seconds=25)
    before = stack.container("user-code").id
    stack.run("up", "--detach", "--no-deps", "--force-recreate", "user-code")
    assert stack.container("user-code").id != before
    assert dagster.status(run_id) == "STARTED"

    outcome = dagster.finish(run_id)
    assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "slept")
    stack.wait_health("user-code", "healthy", seconds=90)


def test_a_stopping_worker_finishes_its_run(stack: Stack, dagster: Dagster, behave: str) -> None:
    run_id = launch_sleeping(dagster, behave, seconds=15)
    stack.run("restart", "worker")

    outcome = dagster.finish(run_id)
    assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "slept")
    assert "dagster/retry_number" not in dagster.runs(runIds=[run_id])[0]["tags"]
    stack.wait_health("worker", "healthy", seconds=90)


def test_a_run_that_no_worker_has_taken_is_canceled_and_never_executed(
    stack: Stack, dagster: Dagster, behave: str
) -> None:
    stack.run("stop", "worker")
    run_id = dagster.launch(flow_id=behave)
    dagster.wait_status(run_id, "STARTING", seconds=30)
    # Dagster offers no other cancel for a run in this state.
    dagster.terminate(run_id, force=True)
    dagster.wait_status(run_id, "CANCELED", seconds=30)
    stack.run("start", "worker")
    stack.wait_health("worker", "healthy", seconds=90)

    assert dagster.ask(flow_id=behave, input_value="next").metadata["answer"] == "next"
    assert dagster.status(run_id) == "CANCELED"
    assert STEP_START not in dagster.messages(run_id)


def test_more_workers_share_the_queue(stack: Stack, dagster: Dagster, behave: str) -> None:
    stack.run("up", "--detach", "--no-deps", "--scale", "worker=2", "--no-recreate", "worker")
    workers = [row for row in stack.containers() if row.service == "worker"]
    try:
        assert len(workers) == 2
        wait_until(
            "both workers healthy",
            lambda: all(row.is_ready for row in stack.containers() if row.service == "worker"),
            seconds=90,
        )
        answers = stack.exec("worker", "celery", "--app", "dagma.execution.worker", "inspect", "ping", "--json")
        assert answers.count("pong") == 2
    finally:
        stack.run("up", "--detach", "--no-deps", "--scale", "worker=1", "--no-recreate", "worker")
    assert dagster.ask(flow_id=behave, input_value="still").metadata["answer"] == "still"
    assert ASSET in "".join(dagster.messages(dagster.runs()[0]["runId"]))
