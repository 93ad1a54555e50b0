"""The endpoints of jobs on servers that misbehave: a typed error or none, within the deadline, in bounded memory."""

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from unit.langflow.conftest import MakeClient
from unit.langflow.test_misbehaviour import HANGING, MEGABYTE, MOMENTS

from dagma.langflow import CallTimeout, JobPolicy, JobSuspended, LangflowClient, LangflowError, Timeouts
from dagma.testing import FakeCall, FakeLangflow, Fault, HumanNeeded

BODY_BYTES = 2 * MEGABYTE
# Long enough for what ends on a busy machine, short enough to wait for what does not.
QUICK = Timeouts(connect=2.0, read=0.5, total=1.0)
PATIENCE = JobPolicy(total=1.5, queued=5.0, outage=0.3, stall=0.15, poll=0.1)
ELSEWHERE = {"Location": "https://user:hidden@elsewhere.example/path?token=hidden"}
PNG = {"Content-Type": "image/png"}

MOMENT_FAULTS = {name: fault for name, (fault, _) in MOMENTS.items()}
FAULTS: dict[str, Fault] = {
    **MOMENT_FAULTS,
    "sends more than is read": Fault(status=200, body=json.dumps({"job_id": "x" * (BODY_BYTES + 1)})),
    "sends more than is read as an error": Fault(status=500, body=json.dumps({"detail": "x" * (BODY_BYTES + 1)})),
    "sends an error without end": Fault(status=500, endless=b"x" * 65_536),
    "sends lines without end": Fault(status=200, endless=b"\n" * 65_536),
    "sends no UTF-8": Fault(status=200, body=b'data: {"job_id": "\xff\xfe"}\n\n'),
    "sends an error that is no UTF-8": Fault(status=500, body=b'{"detail": "\xff\xfe"}'),
    "sends UTF-16": Fault(status=200, body=json.dumps({"job_id": "x"}).encode("utf-16")),
    "sends nothing": Fault(status=200, body=b""),
    "sends a login page": Fault(status=200, body="<html>Log in</html>", headers={"Content-Type": "text/html"}),
    "sends a picture": Fault(status=200, body=b"\x89PNG\r\n\x1a\n", headers=PNG),
    "sends null": Fault(status=200, body="null"),
    "sends a list": Fault(status=200, body=[1, {"job_id": []}]),
    "sends objects of the wrong types": Fault(status=200, body={"job_id": {}, "status": [], "spans": 7}),
    "sends JSON nested too deeply": Fault(status=200, body="[" * 100_000),
    "sends an event nested too deeply": Fault(status=200, body="data: " + "[" * 100_000 + "\n\n"),
    "sends a number of 100,000 digits": Fault(status=200, body='{"totalLatencyMs": ' + "9" * 100_000 + "}"),
    "redirects elsewhere": Fault(status=302, headers=ELSEWHERE),
    "redirects without end": Fault(status=307, headers=ELSEWHERE, endless=b"x" * 65_536),
    "compresses what it does": Fault(after_work=True, headers={"Content-Encoding": "gzip"}),
    "is a gateway without its Langflow": Fault(status=502, body="<html>Bad Gateway</html>"),
}
# A trace is waited for as long as that, whatever the time-outs.
FIVE_SECONDS = "dribbles a body without end"


@dataclass(frozen=True)
class Endpoint:
    """An endpoint, and the call of the client that asks it."""

    method: str
    path: str
    ask: Callable[[LangflowClient, str, str], Any]


ENDPOINTS = {
    "submit": Endpoint("POST", "/api/v2/workflows", lambda client, flow, _: client.submit(flow, "hi")),
    "status": Endpoint("GET", "/api/v2/workflows", lambda client, _, job: client.status(job)),
    "stop": Endpoint("POST", "/api/v2/workflows/stop", lambda client, _, job: client.stop(job)),
}


@pytest.fixture
def client(make_client: MakeClient) -> LangflowClient:
    return make_client(timeouts=QUICK, jobs=PATIENCE, max_body_bytes=BODY_BYTES)


@pytest.fixture
def job(fake_langflow: FakeLangflow, client: LangflowClient, echo: str) -> str:
    """Give the id of a job that is over."""
    job_id = client.submit(echo, "hello")
    wait_until_over(fake_langflow)
    return job_id


def wait_until_over(fake: FakeLangflow) -> None:
    deadline = time.monotonic() + 10.0
    while not fake.jobs[-1].over:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def bounded() -> Iterator[None]:
    """Fail where the block hangs or takes memory without bound."""
    tracemalloc.start()
    started = time.monotonic()
    try:
        yield
        assert time.monotonic() - started < HANGING
        assert tracemalloc.get_traced_memory()[1] < 40 * MEGABYTE
    finally:
        tracemalloc.stop()


@contextmanager
def a_typed_error(fake: FakeLangflow) -> Iterator[None]:
    with bounded(), pytest.raises(LangflowError) as caught:
        yield
    error = caught.value
    assert len(error.excerpt) <= 500
    assert fake.api_key not in f"{error} {error.excerpt} {error!r}"
    assert "hidden" not in f"{error} {error.excerpt}"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_an_endpoint_that_misbehaves_is_a_typed_error(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str, job: str, endpoint: Endpoint, fault: Fault
) -> None:
    fake_langflow.script(replace(fault, path=endpoint.path, method=endpoint.method, times=0))
    with a_typed_error(fake_langflow):
        endpoint.ask(client, echo, job)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_events_that_misbehave_cost_no_answer(
    fake_langflow: FakeLangflow, client: LangflowClient, job: str, fault: Fault
) -> None:
    fake_langflow.script(replace(fault, path="/events", times=0))
    # What was told of a job that is over may be lost, and its answer not.
    with bounded(), suppress(CallTimeout):
        for _ in client.follow(job):
            pass
    assert client.collect(job).answer == "hello"


@pytest.mark.parametrize("name", ["sends a body without end", "sends lines without end", "sends no UTF-8", "is silent"])
def test_events_that_misbehave_for_as_long_as_the_job_runs_end_with_the_time(
    fake_langflow: FakeLangflow, client: LangflowClient, name: str
) -> None:
    def wait_for_the_end(_: FakeCall) -> str:
        time.sleep(3.0)
        return "done"

    job_id = client.submit(fake_langflow.add_flow("slow", wait_for_the_end), "hi")
    fake_langflow.script(replace(FAULTS[name], path="/events", times=0))
    with a_typed_error(fake_langflow):
        for _ in client.follow(job_id):
            pass


@pytest.mark.parametrize("name", sorted(FAULTS.keys() - {FIVE_SECONDS}))
def test_a_trace_that_misbehaves_costs_the_figures_and_no_answer(
    fake_langflow: FakeLangflow, client: LangflowClient, job: str, name: str
) -> None:
    fake_langflow.script(replace(FAULTS[name], path="/api/v1/monitor", times=0))
    with bounded():
        result = client.collect(job)
    assert (result.answer, result.usage, result.model) == ("hello", None, None)


def test_messages_without_end_do_not_fill_the_memory(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
) -> None:
    client = make_client(max_body_bytes=BODY_BYTES)
    job_id = client.submit(echo, "x" * 9000)
    wait_until_over(fake_langflow)
    message = {"event": "add_message", "data": {"text": "y" * 4096, "sender": "Machine"}}
    fake_langflow.script(
        Fault(path="/events", status=200, endless=f"data: {json.dumps(message)}\n\n".encode(), times=0)
    )
    with a_typed_error(fake_langflow):
        client.collect(job_id)


@pytest.mark.parametrize(
    "body",
    ["<html>Log in</html>", {}, {"status": "ok"}, {"job_id": "another", "status": "resuming"}],
    ids=["login page", "nothing", "no job", "another job"],
)
def test_a_resumption_that_says_nothing_of_the_job_has_not_resumed_it(
    fake_langflow: FakeLangflow, client: LangflowClient, body: object
) -> None:
    def ask(call: FakeCall) -> str:
        if call.decision is None:
            raise HumanNeeded("May I?")
        return call.decision

    flow_id = fake_langflow.add_flow("asking", ask)
    job_id = client.submit(flow_id, "hello")
    with pytest.raises(JobSuspended):
        client.collect(job_id)
    (request,) = client.pending(flow_id)
    fake_langflow.script(Fault(path="/resume", status=200, body=body))
    with a_typed_error(fake_langflow):
        client.resume(request, "approve")
    client.resume(request, "approve")
    assert client.collect(job_id).answer == "approve"


@pytest.mark.parametrize("body", [{}, {"message": "Welcome."}, {"job_id": "another", "message": "cancelled"}])
def test_a_stop_that_says_nothing_of_the_job_has_not_stopped_it(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str, body: dict[str, str]
) -> None:
    fake_langflow.hold_queue()
    job_id = client.submit(echo, "hello")
    fake_langflow.script(Fault(path="/workflows/stop", status=200, body=body))
    with a_typed_error(fake_langflow):
        client.stop(job_id)
