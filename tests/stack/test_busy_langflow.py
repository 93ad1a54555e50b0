"""What becomes of calls while the shipped Langflow is hard pressed: raced for a key, or frozen by a component."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import requests
from harness.stack import Stack, wait_until
from stack.conftest import BEHAVE_COMPONENT, Dagster, rows, sleeping

from dagma.langflow import Access, Conflict, FlowFailed, LangflowClient, RetryPolicy

CALLERS = 9
FAILING = {BEHAVE_COMPONENT: {"fail_with": "The model is away."}}
# Longer than the silence of a job's events after which the client opens them anew, and Langflow gives up on lost jobs.
FROZEN_SECONDS = 75.0


def test_a_submission_that_loses_the_race_for_its_key_may_be_repeated(
    stack: Stack, langflow: LangflowClient, behave: str
) -> None:
    """Jobs that fail free their key all the time, until Langflow finds one taken by a job that is gone again."""
    keys = [f"raced-{uuid.uuid4()}" for _ in range(3)]
    lost: list[tuple[str, Conflict]] = []
    over = Event()

    def race(number: int) -> None:
        key = keys[number % len(keys)]
        while not over.is_set():
            try:
                once.submit(behave, "hello", idempotency_key=key, tweaks=FAILING)
            except Conflict as error:
                lost.append((key, error))
                over.set()

    access = Access(api_key=stack.settings["LANGFLOW_API_KEY"])
    with (
        LangflowClient(stack.langflow_url, access=access, retry=RetryPolicy(attempts=1)) as once,
        ThreadPoolExecutor(CALLERS) as callers,
    ):
        races = [callers.submit(race, number) for number in range(CALLERS)]
        over.wait(timeout=120)
        over.set()
        for each in races:
            each.result()

    assert lost, "Langflow let nobody lose the race"
    key, error = lost[0]
    assert error.retryable
    assert "idempotency_key is already in progress" in str(error)
    # With more than one attempt the client repeats it by itself.
    job_id = langflow.submit(behave, "hello", idempotency_key=key, tweaks=FAILING)
    with pytest.raises(FlowFailed):
        langflow.collect(job_id)


def is_frozen(stack: Stack) -> bool:
    """Whether Langflow lets a second pass without an answer to its health check."""
    try:
        requests.get(f"{stack.langflow_url}/health", timeout=1)
    except (requests.Timeout, requests.ConnectionError):  # the latter where it freezes in the middle of its answer
        return True
    return False


def test_calls_outlast_a_component_that_freezes_langflow(stack: Stack, dagster: Dagster, behave: str) -> None:
    tweaks = {BEHAVE_COMPONENT: {"seconds": FROZEN_SECONDS, "blocks": True}}
    job = dagster.launch(input_value="slept", flow_id=behave, tweaks=tweaks, mode="job")
    wait_until("Langflow to freeze", lambda: is_frozen(stack), seconds=60, every=0.1)
    direct = dagster.launch(input_value="waited", flow_id=behave, tweaks=sleeping(0.1), mode="direct")

    for run_id, answer in ((job, "slept"), (direct, "waited")):
        outcome = dagster.finish(run_id, seconds=180)
        assert (outcome.status, outcome.metadata.get("answer")) == ("SUCCESS", answer), outcome
        assert [(row["attempt"], row["state"]) for row in rows(stack, run_id)] == [(1, "answered")]
    stack.wait_health("langflow", "healthy", seconds=90)
