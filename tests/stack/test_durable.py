"""Calls as jobs on the shipped stack: they outlive workers and code servers, end with a cancel, and are sent once."""

import uuid

import pytest
from harness.stack import Stack, wait_until
from stack.conftest import Dagster, retry_of, rows
from stack.in_flight import launch_job

from dagma.langflow import Access, JobLost, JobPolicy, LangflowClient

STOP_SECONDS = 5.0
# How long it may take from a worker's death to the retry of its run.
FOUND_SECONDS = 60.0


def test_the_log_of_a_run_tells_what_happens_in_its_job_while_it_happens(
    stack: Stack, dagster: Dagster, behave: str
) -> None:
    run_id, job_id = launch_job(dagster, behave, seconds=15)
    assert dagster.status(run_id) == "STARTED"
    log = "\n".join(dagster.messages(run_id))
    assert "(0 of 3 components)" in log
    assert "Behave-1 has finished" not in log

    outcome = dagster.finish(run_id)
    assert outcome.metadata["answer"] == "slept"
    assert (outcome.metadata["job_id"], outcome.metadata["mode"]) == (job_id, "job")
    assert "(3 of 3 components)" in "\n".join(dagster.messages(run_id))
    (row,) = rows(stack, run_id)
    assert (row["state"], row["job_id"], row["attempt"]) == ("answered", job_id, 1)


def test_a_cancelled_run_stops_its_job(stack: Stack, dagster: Dagster, langflow: LangflowClient, behave: str) -> None:
    run_id, job_id = launch_job(dagster, behave, seconds=120)
    dagster.terminate(run_id)
    wait_until("the job's end", lambda: langflow.status(job_id).state == "cancelled", seconds=STOP_SECONDS, every=0.2)
    dagster.wait_status(run_id, "CANCELED", seconds=30)
    assert not dagster.materialized_by(run_id)
    assert [row["state"] for row in rows(stack, run_id)] == ["cancelled"]


def test_the_retry_of_a_run_on_a_killed_worker_collects_the_same_job(
    stack: Stack, dagster: Dagster, langflow: LangflowClient, behave: str
) -> None:
    run_id, job_id = launch_job(dagster, behave, seconds=60)
    stack.kill("worker")
    assert langflow.status(job_id).state == "in_progress"

    retry = retry_of(dagster, run_id, FOUND_SECONDS)
    assert dagster.runs(runIds=[retry])[0]["tags"]["dagster/retry_number"] == "1"
    outcome = dagster.finish(retry)
    assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "slept")
    assert (outcome.metadata["job_id"], outcome.metadata["origin"]) == (job_id, "re-attached")
    assert outcome.metadata["attempt"] == 1
    # One row, begun by the first run: nothing was sent by the second.
    assert [(row["job_id"], row["state"]) for row in rows(stack, run_id)] == [(job_id, "answered")]
    assert rows(stack, retry) == []
    assert not dagster.materialized_by(run_id)


def test_a_redeploy_of_the_code_server_and_then_of_the_worker_loses_no_call(
    stack: Stack, dagster: Dagster, behave: str
) -> None:
    # Longer than a stopping worker goes on with its runs: it interrupts this one, and the next worker retries it.
    seconds = float(stack.settings["DAGMA_WORKER_GRACE_SECONDS"]) + 45
    run_id, job_id = launch_job(dagster, behave, seconds=seconds)
    for service in ("user-code", "worker"):
        stack.run("up", "--detach", "--no-deps", "--force-recreate", service)
        stack.wait_health(service, "healthy", seconds=90)

    outcome = dagster.finish(retry_of(dagster, run_id))
    assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "slept")
    assert (outcome.metadata["job_id"], outcome.metadata["origin"]) == (job_id, "re-attached")
    assert [row["job_id"] for row in rows(stack, run_id)] == [job_id]


def test_a_retry_that_was_lost_with_the_code_server_is_made_up_for(stack: Stack, dagster: Dagster, behave: str) -> None:
    run_id, job_id = launch_job(dagster, behave, seconds=90)
    stack.run("stop", "user-code")
    try:
        stack.kill("worker")
        wait_until(
            "Dagster's daemon to give the retry up",
            lambda: "Failed to retry run" in dagster.messages(run_id),
            seconds=120,
        )
    finally:
        stack.run("start", "user-code")

    outcome = dagster.finish(retry_of(dagster, run_id))
    assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "slept")
    assert (outcome.metadata["job_id"], outcome.metadata["origin"]) == (job_id, "re-attached")


def test_a_job_that_langflow_dropped_is_lost_and_its_key_is_free_again(
    stack: Stack, langflow: LangflowClient, behave: str
) -> None:
    key = f"dropped-{uuid.uuid4()}"
    job_id = langflow.submit(behave, "hello", idempotency_key=key)
    assert langflow.collect(job_id).answer == "hello"
    # What is left of a job whose end Langflow could not write down, since its database was away.
    for unwritten in ("UPDATE job SET status = 'in_progress', result = NULL", "DELETE FROM job_events"):
        stack.sql("langflow", f"{unwritten} WHERE job_id = '{job_id}'")

    assert langflow.submit(behave, "hello", idempotency_key=key) == job_id
    access = Access(api_key=stack.settings["LANGFLOW_API_KEY"])
    impatient = JobPolicy(unattended=3.0)
    with (
        LangflowClient(stack.langflow_url, access=access, jobs=impatient) as client,
        pytest.raises(JobLost, match="was dropped by Langflow"),
    ):
        list(client.follow(job_id))
    again = langflow.submit(behave, "hello", idempotency_key=key)
    assert again != job_id
    assert langflow.collect(again).answer == "hello"
