"""Direct calls on the shipped stack when something dies: each is answered, and none is paid for twice."""

from collections.abc import Callable
from typing import Any

from harness.stack import Stack, wait_until
from stack.conftest import Dagster, retry_of, rows, sleeping

from dagma.langflow import LangflowClient, PastRun

STEP_START = 'Started execution of step "langflow_run_flow".'
ANSWER_SECONDS = 20.0


def launch_direct(stack: Stack, dagster: Dagster, flow_id: str, seconds: float = ANSWER_SECONDS) -> str:
    """Launch a direct call that takes a while; return once its row in the ledger says that it is sent."""
    run_id = dagster.launch(input_value="slept", flow_id=flow_id, tweaks=sleeping(seconds), mode="direct")
    wait_until("the step's start", lambda: STEP_START in dagster.messages(run_id), seconds=60)
    wait_until("the call", lambda: rows(stack, run_id), seconds=30)
    return run_id


def runs_of(langflow: LangflowClient, row: dict[str, Any]) -> list[PastRun]:
    """What Langflow ran for a call."""
    return langflow.past_runs(f"call-{row['key'][:32]}")


def wait_for_runs(langflow: LangflowClient, row: dict[str, Any], are: Callable[[list[PastRun]], bool]) -> None:
    wait_until("Langflow's run", lambda: are(runs_of(langflow, row)), seconds=30)


def test_the_answer_of_a_direct_call_whose_worker_is_killed_is_found_by_the_retry(
    stack: Stack, dagster: Dagster, langflow: LangflowClient, behave: str
) -> None:
    run_id = launch_direct(stack, dagster, behave)
    (row,) = rows(stack, run_id)
    wait_for_runs(langflow, row, lambda runs: [run.state for run in runs] == ["running"])
    stack.kill("worker")

    outcome = dagster.finish(retry_of(dagster, run_id))
    assert (outcome.status, outcome.metadata["answer"], outcome.metadata["origin"]) == ("SUCCESS", "slept", "found")
    assert [(row["state"], row["attempt"]) for row in rows(stack, run_id)] == [("answered", 1)]
    assert [run.state for run in runs_of(langflow, row)] == ["completed"]


def test_direct_calls_of_a_batch_in_flight_survive_the_kill_of_langflow(
    stack: Stack, dagster: Dagster, langflow: LangflowClient, behave: str
) -> None:
    answered = launch_direct(stack, dagster, behave, seconds=0.5)
    assert dagster.finish(answered).status == "SUCCESS"
    # As many as the worker has processes.
    in_flight = [launch_direct(stack, dagster, behave, seconds=60.0) for _ in range(2)]
    calls = [row for run_id in in_flight for row in rows(stack, run_id)]
    for row in calls:
        wait_for_runs(langflow, row, lambda runs: [run.state for run in runs] == ["running"])
    stack.kill("langflow")
    stack.wait_health("langflow", "healthy", seconds=300)

    for run_id, row in zip(in_flight, calls, strict=True):
        outcome = dagster.finish(run_id, seconds=420)
        assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "slept"), outcome
        assert [(each["state"], each["attempt"]) for each in rows(stack, run_id)] == [("failed", 1), ("answered", 2)]
        assert sorted(run.state for run in runs_of(langflow, row)) == ["completed", "lost"]
    assert [row["attempt"] for row in rows(stack, answered)] == [1]


def test_a_direct_call_outlasts_a_kill_of_what_it_does_not_need(stack: Stack, dagster: Dagster, behave: str) -> None:
    run_id = launch_direct(stack, dagster, behave)
    for service in ("user-code", "dagster-daemon", "redis"):
        stack.kill(service)

    outcome = dagster.finish(run_id)
    assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "slept")
    assert [(row["state"], row["attempt"]) for row in rows(stack, run_id)] == [("answered", 1)]
    for service in ("user-code", "dagster-daemon", "redis"):
        stack.wait_health(service, "healthy", seconds=120)
