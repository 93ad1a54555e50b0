"""The endpoints of jobs on servers that misbehave: a typed error or none, within the deadline, in bounded memory."""

import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from unit.langflow.conftest import MakeClient, dribbled, without_end
from unit.langflow.test_misbehaviour import HANGING, MEGABYTE

from dagma.langflow import CallTimeout, JobPolicy, LangflowClient, LangflowError
from dagma.testing import FakeCall, FakeLangflow, Fault

BODY_BYTES = 2 * MEGABYTE
QUICK = 1.0
PATIENCE = JobPolicy(total=1.5, queued=5.0, outage=0.3, stall=0.15, poll=0.1)

FAULTS: dict[str, Fault] = {
    "is silent": Fault(delay=HANGING),
    "dribbles a body without end": Fault(raw=dribbled(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 10_000, 0.1)),
    "speaks no HTTP": Fault(raw=b"SSH-2.0-OpenSSH_9.2\r\n"),
    "sends a body without end": Fault(raw=without_end(b"x" * 65_536)),
    "sends lines without end": Fault(raw=without_end(b"\n" * 65_536)),
    "sends an error without end": Fault(raw=without_end(b"x" * 65_536, 500)),
    "sends no UTF-8": Fault(status=200, body=b'data: {"job_id": "\xff\xfe"}\n\n'),
    "sends an event nested too deeply": Fault(status=200, body="data: " + "[" * 100_000 + "\n\n"),
}


@pytest.fixture
def impatient(make_client: MakeClient) -> LangflowClient:
    return make_client(timeout=QUICK, jobs=PATIENCE, max_body_bytes=BODY_BYTES)


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


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_events_that_misbehave_cost_no_answer(
    fake_langflow: FakeLangflow, client: LangflowClient, impatient: LangflowClient, job: str, fault: Fault
) -> None:
    fake_langflow.script(replace(fault, path="/events", times=0))
    # What was told of a job that is over may be lost, and its answer not.
    with bounded(), suppress(CallTimeout):
        for _ in impatient.follow(job):
            pass
    assert client.collect(job).answer == "hello"


@pytest.mark.parametrize("name", ["sends a body without end", "sends lines without end", "sends no UTF-8", "is silent"])
def test_events_that_misbehave_for_as_long_as_the_job_runs_end_with_the_time(
    fake_langflow: FakeLangflow, client: LangflowClient, impatient: LangflowClient, name: str
) -> None:
    def wait_for_the_end(_: FakeCall) -> str:
        time.sleep(3.0)
        return "done"

    job_id = client.submit(fake_langflow.add_flow("slow", wait_for_the_end), "hi")
    fake_langflow.script(replace(FAULTS[name], path="/events", times=0))
    with a_typed_error(fake_langflow):
        for _ in impatient.follow(job_id):
            pass


def test_messages_without_end_do_not_fill_the_memory(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
) -> None:
    client = make_client(max_body_bytes=BODY_BYTES)
    job_id = client.submit(echo, "x" * 9000)
    wait_until_over(fake_langflow)
    message = {"event": "add_message", "data": {"text": "y" * 4096, "sender": "Machine"}}
    events = without_end(f"data: {json.dumps(message)}\n\n".encode())
    fake_langflow.script(Fault(path="/events", raw=events, times=0))
    with a_typed_error(fake_langflow):
        client.collect(job_id)


@pytest.mark.parametrize("body", ["<html>Log in</html>", []], ids=["login page", "list"])
def test_a_stop_that_is_answered_with_no_object_has_not_stopped_the_job(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str, body: object
) -> None:
    fake_langflow.hold_queue()
    job_id = client.submit(echo, "hello")
    fake_langflow.script(Fault(path="/workflows/stop", status=200, body=body))
    with a_typed_error(fake_langflow):
        client.stop(job_id)
