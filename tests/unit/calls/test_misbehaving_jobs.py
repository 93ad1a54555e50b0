"""Calls as jobs on servers that misbehave: one row, no answer that was not given, and a retry that goes on."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from unit.calls.conftest import FLOW_ID, Flow, patience, rows
from unit.langflow.test_misbehaving_endpoints import FAULTS

from dagma.backends.langflow import langflow_resource
from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.backoff import Backoff
from dagma.calls.call_policy import CallPolicy
from dagma.calls.request import Caller
from dagma.langflow import JobPolicy, LangflowError, jobs_api
from dagma.testing import FakeLangflow, Fault

# Longer than any of these takes: test_durable_calls.py tells how a job ends that takes too long.
JOB_SECONDS = 30.0
ANSWER = "You said hi."
# The states of a job that a retry asks for again, or sends anew.
OPEN = ("begun", "submitted")
WAYS = (
    "closes before the response",
    "closes in the middle of the body",
    "closes in the middle of a chunk",
    "is silent",
    "stalls in the middle of the body",
    "sends a body without end",
    "sends a header of 10 MB",
    "speaks no HTTP",
    "sends no content",
    "sends no UTF-8",
    "sends an error that is no UTF-8",
    "sends nothing",
    "sends a login page",
    "sends null",
    "sends objects of the wrong types",
    "sends JSON nested too deeply",
    "redirects elsewhere",
    "redirects without end",
    "compresses what it does",
    "is a gateway without its Langflow",
)
# Requests by the endpoint that they ask.
ENDPOINTS = {
    "submit": {"path": "/api/v2/workflows", "method": "POST", "after_work": True},
    "status": {"path": "/api/v2/workflows", "method": "GET"},
    "events": {"path": "/events"},
    "trace": {"path": "/api/v1/monitor"},
}
MakeBackend = Callable[[Fault | None], LangflowRestResource]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(langflow_resource, "JobPolicy", partial(JobPolicy, stall=0.2))
    monkeypatch.setattr(jobs_api, "_OUTAGE_BACKOFF", Backoff(0.1, 0.1))


@pytest.fixture(autouse=True)
def one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all callers one run and its retries."""
    caller = Caller(scope="one run", log=logging.getLogger(__name__))
    monkeypatch.setattr(Caller, "current", lambda _: caller)


@pytest.fixture
def make_backend(fake: FakeLangflow) -> Iterator[MakeBackend]:
    """Make the backend of a run on a server that misbehaves, or of its retry on one that does not.

    Each counts its calls anew.
    """
    made: list[LangflowRestResource] = []

    def make(fault: Fault | None) -> LangflowRestResource:
        backend = LangflowRestResource(
            base_url=fake.base_url,
            api_key=fake.api_key,
            default_flow_id=FLOW_ID,
            timeout=patience(fault or Fault()),
            job_timeout=JOB_SECONDS,
            mode="job",
            policy=CallPolicy(outage_seconds=0.2, request_attempts=2, first_request_wait_seconds=0.01),
        )
        made.append(backend)
        return backend

    yield make
    for backend in made:
        backend.client.close()


def misbehaving(endpoint: str, way: str) -> Fault:
    return replace(FAULTS[way], **{"times": 0, **ENDPOINTS[endpoint]})


def text_of(backend: LangflowRestResource, response: dict[str, Any]) -> str | None:
    return backend.read(response).text


def check_row(fake: FakeLangflow, row: dict[str, Any], folder: Path, error: LangflowError | None) -> None:
    """Check what holds for the row of a call that ended so."""
    assert row["mode"] == "job"
    if error is None:
        assert (row["state"], row["answer_text"], row["error_class"]) == ("answered", ANSWER, None)
    elif row["state"] in OPEN:
        assert (row["finished_at"], row["answer_text"], row["error_class"]) == (None, None, None)
    else:
        assert (row["state"], row["answer_text"], row["error_class"]) == ("failed", None, type(error).__name__)
    assert (row["finished_at"] is None) == (row["state"] in OPEN)
    assert list(folder.glob("*.live/*")) == [], "The call is still marked as being sent."
    for file in folder.rglob("*"):
        assert file.is_dir() or fake.api_key.encode() not in file.read_bytes()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_job_on_a_server_that_misbehaves_is_one_row_and_its_retry_goes_on(
    fake: FakeLangflow, flow: Flow, make_backend: MakeBackend, tmp_path: Path, endpoint: str, way: str
) -> None:
    fault = misbehaving(endpoint, way)
    fake.script(fault)
    first, failure = make_backend(fault), None
    try:
        assert text_of(first, first.run_flow("hi")) == ANSWER
    except LangflowError as error:
        failure = error
    (row,) = rows()
    check_row(fake, row, tmp_path, failure)
    assert endpoint in ("submit", "status") or failure is None, "What is optional cost the answer."

    fake.clear()
    retry = make_backend(None)
    assert text_of(retry, retry.run_flow("hi")) == ANSWER
    assert [row["state"] for row in rows()] in (["answered"], ["failed", "answered"])
    if row["state"] != "failed":
        assert (len(fake.jobs), flow.answered) == (1, 1), "An attempt that went on was paid for twice."


@pytest.mark.parametrize("way", WAYS)
def test_a_job_whose_state_is_told_badly_while_it_runs_has_no_answer_yet(
    fake: FakeLangflow, flow: Flow, make_backend: MakeBackend, tmp_path: Path, way: str
) -> None:
    flow.goes.clear()
    fault = misbehaving("status", way)
    fake.script(fault, Fault(path="/events", drop=True, times=0))
    backend = make_backend(fault)
    with pytest.raises(LangflowError) as caught:
        backend.run_flow("hi")
    (row,) = rows()
    check_row(fake, row, tmp_path, caught.value)
    assert row["state"] == "submitted"
