"""Direct calls on the shipped stack when something dies: each is answered, and none is paid for twice."""

from harness.stack import Stack
from stack.conftest import Dagster, retry_of, rows
from stack.in_flight import launch_direct, runs_of, wait_for_runs

from dagma.langflow import LangflowClient


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


def test_a_direct_call_outlasts_a_kill_of_what_it_does_not_need(stack: Stack, dagster: Dagster, behave: str) -> None:
    run_id = launch_direct(stack, dagster, behave)
    for service in ("user-code", "dagster-daemon", "redis"):
        stack.kill(service)

    outcome = dagster.finish(run_id)
    assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "slept")
    assert [(row["state"], row["attempt"]) for row in rows(stack, run_id)] == [("answered", 1)]
    for service in ("user-code", "dagster-daemon", "redis"):
        stack.wait_health(service, "healthy", seconds=120)
