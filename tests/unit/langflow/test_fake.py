"""FakeLangflow as its users see it; what it answers is checked in tests/contract."""

import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from dagma.langflow import Conflict, FlowFailed, LangflowClient, LangflowError, ServerError
from dagma.testing import FakeAnswer, FakeCall, FakeLangflow, Fault

HANGING = 20.0


def test_a_flow_does_what_its_function_says(fake_langflow: FakeLangflow, client: LangflowClient):
    def greet(call: FakeCall) -> FakeAnswer:
        return FakeAnswer(f"Hello {call.input_value} in {call.session_id}", input_tokens=2, output_tokens=3)

    flow_id = fake_langflow.add_flow("greeter", greet, endpoint_name="greet")
    assert client.run("greet", "Ada", session_id="s-1").answer == "Hello Ada in s-1"
    for name in (flow_id, "greet"):
        fake_langflow.behave(name, lambda call, name=name: f"{call.input_value} by {name}")
        assert client.run(flow_id, "Ada").answer == f"Ada by {name}"


def test_faults_are_used_up_in_order_by_the_requests_they_match(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str
):
    fake_langflow.script(
        Fault(path="/run", status=500, times=2),
        Fault(path="/health_check", method="POST", status=500),
    )
    assert client.health_check()["status"] == "ok"
    for _ in range(2):
        with pytest.raises(ServerError):
            client.run(echo, "hello")
    assert client.run(echo, "hello").outputs


@pytest.mark.parametrize("misbehaviour", [{"drop": True}, {"raw": b"SSH-2.0"}, {"status": 500}])
def test_a_flow_runs_before_a_fault_only_where_that_says_so(
    fake_langflow: FakeLangflow, client: LangflowClient, misbehaviour: dict[str, Any]
):
    ran: list[str] = []
    flow_id = fake_langflow.add_flow("counting", lambda call: ran.append(call.input_value) or "done")
    for is_first in (False, True):
        fake_langflow.script(Fault(path="/run", after_work=is_first, **misbehaviour))
        with pytest.raises(LangflowError):
            client.run(flow_id, str(is_first))
    assert ran == ["True"]


def test_silence_between_the_bytes_of_a_fault_is_any_number(fake_langflow: FakeLangflow, client: LangflowClient):
    fake_langflow.script(Fault(raw=lambda: [b"HTTP/1.1 200 OK\r\n", 0, b"\r\n", 0.0, b'{"status": "ok"}']))
    assert client.health_check()["status"] == "ok"


def test_a_function_that_raises_fails_its_flow_and_not_the_server(fake_langflow: FakeLangflow, client: LangflowClient):
    def broken(call: FakeCall) -> str:
        raise KeyError("nothing there")

    flow_id = fake_langflow.add_flow("broken", broken)
    with pytest.raises(Exception, match="nothing there") as caught:
        client.collect(client.submit(flow_id, "hello"))
    assert caught.value.component == "KeyError"
    with pytest.raises(Exception, match="nothing there"):
        client.run(flow_id, "hello")


@pytest.mark.parametrize("given", [None, {"label": "good"}, FakeAnswer(None)])  # type: ignore[arg-type]
def test_a_function_that_gives_no_text_fails_its_flow_and_not_the_server(
    fake_langflow: FakeLangflow, client: LangflowClient, given: Any
):
    flow_id = fake_langflow.add_flow("textless", lambda _: given)
    for ask in (client.run, lambda *asked: client.collect(client.submit(*asked), timeout=HANGING)):
        with pytest.raises(FlowFailed, match="Return a text or a FakeAnswer"):
            ask(flow_id, "hello")


def test_an_endpoint_name_that_is_taken_is_refused(fake_langflow: FakeLangflow, client: LangflowClient):
    fake_langflow.add_flow("one")
    with pytest.raises(ValueError, match="Endpoint name must be unique"):
        fake_langflow.add_flow("two", endpoint_name="one")
    with pytest.raises(Conflict):
        client.upsert_flow({"id": "5c0ffee0-0000-4000-8000-0000000000aa", "name": "two", "endpoint_name": "one"})


def test_a_crash_loses_what_runs_and_leaves_what_is_queued_so_for_ever(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str
):
    opened = threading.Event()
    gated = fake_langflow.add_flow("gated", lambda _: str(opened.wait(HANGING)))
    before = [client.submit(gated, f"number {number}") for number in range(7)]
    deadline = time.monotonic() + HANGING
    while [job.state for job in fake_langflow.jobs].count("in_progress") < 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    fake_langflow.crash()
    # What comes after a restart runs, whatever those that are lost still do.
    assert client.collect(client.submit(echo, "hello")).answer == "hello"
    opened.set()
    assert client.collect(client.submit(echo, "again")).answer == "again"
    assert sorted(job.state for job in fake_langflow.jobs if job.id in before) == ["failed"] * 5 + ["queued"] * 2


def test_a_flow_that_waits_for_ever_keeps_no_process_from_ending():
    lines = (
        "import threading",
        "from dagma.langflow import Access, LangflowClient",
        "from dagma.testing import FakeLangflow",
        "with FakeLangflow() as fake, LangflowClient(fake.base_url, Access(api_key=fake.api_key)) as client:",
        "    began = threading.Event()",
        "    client.submit(fake.add_flow('waiting', lambda _: began.set() or threading.Event().wait()), 'hello')",
        "    began.wait()",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=60.0)
