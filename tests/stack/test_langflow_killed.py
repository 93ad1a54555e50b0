"""A kill of Langflow, and what becomes of each kind of call that it had: each is answered, none is paid for twice."""

import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from harness.stack import Stack
from stack.conftest import Dagster, rows, sleeping
from stack.in_flight import launch_direct, launch_job, runs_of, wait_for_runs

from dagma.langflow import Access, JobLost, JobPolicy, LangflowClient

# Until all are launched and Langflow is killed, on a busy machine.
SECONDS = 40.0
# As many as Langflow runs at a time.
JOBS_AT_A_TIME = 5


@dataclass(frozen=True)
class Killed:
    """What Langflow had when it was killed.

    Attributes:
        answered: The run of a direct call that was answered before.
        direct: The run of a direct call.
        call: The ledger's row of that call.
        job_run: The run of a job.
        job_id: That job.
        queued_id: A job that waited for others to end.
        queued_key: Its idempotency key.
    """

    answered: str
    direct: str
    call: dict[str, Any]
    job_run: str
    job_id: str
    queued_id: str
    queued_key: str


@pytest.fixture(scope="module")
def killed(stack: Stack, dagster: Dagster, langflow: LangflowClient, behave: str) -> Killed:
    """Langflow, back from a SIGKILL that met it at work."""
    answered = launch_direct(stack, dagster, behave, seconds=0.5)
    assert dagster.finish(answered).status == "SUCCESS"
    # As many runs as the worker has processes.
    job_run, job_id = launch_job(dagster, behave, SECONDS)
    direct = launch_direct(stack, dagster, behave, SECONDS)
    (call,) = rows(stack, direct)
    wait_for_runs(langflow, call, lambda runs: [run.state for run in runs] == ["running"])
    for _ in range(JOBS_AT_A_TIME - 1):
        langflow.submit(behave, "slept", tweaks=sleeping(SECONDS))
    queued_key = f"queued-{uuid.uuid4()}"
    queued_id = langflow.submit(behave, "waits", idempotency_key=queued_key)
    assert [langflow.status(each).state for each in (job_id, queued_id)] == ["in_progress", "queued"]
    stack.kill("langflow")
    stack.wait_health("langflow", "healthy", seconds=300)
    return Killed(answered, direct, call, job_run, job_id, queued_id, queued_key)


def test_a_direct_call_is_sent_again_by_the_same_run_and_no_other_is(
    killed: Killed, stack: Stack, dagster: Dagster, langflow: LangflowClient
) -> None:
    outcome = dagster.finish(killed.direct, seconds=420)
    assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "slept"), outcome
    ends = [(row["state"], row["attempt"]) for row in rows(stack, killed.direct)]
    assert ends == [("failed", 1), ("answered", 2)]
    assert sorted(run.state for run in runs_of(langflow, killed.call)) == ["completed", "lost"]
    assert [row["attempt"] for row in rows(stack, killed.answered)] == [1]


def test_a_job_is_sent_again_by_the_same_run(killed: Killed, stack: Stack, dagster: Dagster) -> None:
    outcome = dagster.finish(killed.job_run, seconds=240)
    assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "slept")
    assert outcome.metadata["attempt"] == 2
    assert outcome.metadata["job_id"] != killed.job_id
    assert [(row["attempt"], row["state"]) for row in rows(stack, killed.job_run)] == [(1, "failed"), (2, "answered")]


def test_a_job_in_the_queue_is_forgotten_and_its_key_is_free_once_that_is_told(
    killed: Killed, stack: Stack, langflow: LangflowClient, behave: str
) -> None:
    assert langflow.status(killed.queued_id).state == "queued", "as it will be for ever"
    assert langflow.submit(behave, "waits", idempotency_key=killed.queued_key) == killed.queued_id
    access = Access(api_key=stack.settings["LANGFLOW_API_KEY"])
    impatient = JobPolicy(queued=3.0)
    with LangflowClient(stack.langflow_url, access=access, jobs=impatient) as client, pytest.raises(JobLost):
        client.collect(killed.queued_id)
    again = langflow.submit(behave, "waits", idempotency_key=killed.queued_key)
    assert again != killed.queued_id
    assert langflow.collect(again).answer == "waits"
