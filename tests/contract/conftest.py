"""One suite, run against the fake Langflow and a real one, so that the fake can't drift."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from dagma.langflow import Access, JobPolicy, LangflowClient, Unreachable
from dagma.testing import (
    Behaviour,
    ComponentFailed,
    FakeAnswer,
    FakeCall,
    FakeLangflow,
    HumanNeeded,
    VariableMissing,
)

FLOWS = Path(__file__).parent / "flows"
real_only = pytest.mark.parametrize("langflow_server", ["real"], indirect=True)
"""Marks a fact of Langflow that Dagma does not build on, and so the fake does not show."""


@dataclass(frozen=True)
class LangflowServer:
    """A Langflow under test.

    Args:
        base_url: Its address.
        api_key: Its API key.
        behave: Tells a fake what a flow does; None for the real one, which has the flow's code.
    """

    base_url: str
    api_key: str
    behave: Callable[[str, Behaviour], None] | None = None

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request as it is, past the client."""
        headers = {"x-api-key": self.api_key} | options.pop("headers", {})
        return requests.request(method, f"{self.base_url}{path}", headers=headers, timeout=30, **options)

    def submit(self, flow_id: str, **body: Any) -> requests.Response:
        """Submit a background job, past the client."""
        return self.request("POST", "/api/v2/workflows", json={"flow_id": flow_id, "mode": "background", **body})

    def job(self, job_id: str) -> requests.Response:
        """Ask for a job, past the client."""
        return self.request("GET", "/api/v2/workflows", params={"job_id": job_id})

    def ended_job(self, job_id: str, seconds: float = 30.0) -> requests.Response:
        """Ask for a job until it neither waits nor runs."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            response = self.job(job_id)
            if response.status_code != 200 or response.json()["status"] not in ("queued", "in_progress"):
                return response
            time.sleep(0.1)
        raise AssertionError(f"The job {job_id} did not end within {seconds} s.")

    def wait_for_state(self, job_id: str, state: str, seconds: float = 30.0) -> None:
        """Wait until a job is in a state."""
        until = time.monotonic() + seconds
        while self.job(job_id).json().get("status") != state:
            assert time.monotonic() < until, f"The job {job_id} was not {state} within {seconds} s."
            time.sleep(0.05)


@dataclass(frozen=True)
class Flows:
    """Ids of the flows under test."""

    echo: str
    behave: str
    unbound: str
    approval: str


@pytest.fixture(scope="session")
def real_langflow(request: pytest.FixtureRequest) -> LangflowServer:
    """Give the Langflow that DAGMA_TEST_LANGFLOW_URL and DAGMA_TEST_LANGFLOW_API_KEY name, else the stack's."""
    if url := os.environ.get("DAGMA_TEST_LANGFLOW_URL"):
        return LangflowServer(url.rstrip("/"), os.environ["DAGMA_TEST_LANGFLOW_API_KEY"])
    stack = request.getfixturevalue("stack")
    return LangflowServer(stack.langflow_url, stack.settings["LANGFLOW_API_KEY"])


@pytest.fixture(scope="session", params=["fake", "real"])
def langflow_server(request: pytest.FixtureRequest) -> Iterator[LangflowServer]:
    """Give the fake Langflow, then the real one."""
    if request.param == "real":
        real = request.getfixturevalue("real_langflow")
        yield LangflowServer(real.base_url, real.api_key)
        return
    # The servers that Dagma brings up cut texts late; the fake is told to do as they do.
    with FakeLangflow(max_text_length=1_000_000) as fake:
        yield LangflowServer(fake.base_url, fake.api_key, fake.behave)


@pytest.fixture(scope="session")
def client(langflow_server: LangflowServer) -> Iterator[LangflowClient]:
    """Give a client of the server under test."""
    with LangflowClient(
        langflow_server.base_url,
        access=Access(api_key=langflow_server.api_key),
        jobs=JobPolicy(total=60.0, queued=30.0, outage=5.0),
    ) as client:
        yield client


@pytest.fixture(scope="session")
def flows(langflow_server: LangflowServer, client: LangflowClient) -> Iterator[Flows]:
    """Upload the flows under names and ids of their own, since others may use the server."""
    ids = {name: str(uuid4()) for name in ("echo", "behave", "unbound", "approval")}
    for name, flow_id in ids.items():
        client.upsert_flow(flow_named(name, flow_id))
        if langflow_server.behave is not None:
            langflow_server.behave(flow_id, BEHAVIOURS[name])
    yield Flows(**ids)
    with suppress(Unreachable):  # the test stack is gone by now, where its process goes on with other tests
        for flow_id in ids.values():
            client.delete_flow(flow_id)


def flow_named(name: str, flow_id: str) -> dict[str, Any]:
    """Return the JSON of a flow under another id, with a name and an endpoint name that nobody else uses."""
    flow = json.loads((FLOWS / f"{name}.json").read_text())
    unique = f"contract-{name}-{flow_id[:8]}"
    return flow | {"id": flow_id, "name": unique, "endpoint_name": unique}


def behave(call: FakeCall) -> str | FakeAnswer:
    """Do what the component Behave of flows/behave.json does."""
    tweaks = call.tweaks.get("Behave-1", {})
    time.sleep(tweaks.get("seconds", 0.0))
    if message := tweaks.get("fail_with"):
        raise ComponentFailed("Behave", message)
    text = call.input_value * tweaks.get("repeat", 1)
    return FakeAnswer(f"{text} ", streamed=True) if tweaks.get("word_by_word") else text


def unbound(call: FakeCall) -> str:
    """Do what flows/unbound.json does."""
    raise VariableMissing("DAGMA_CONTRACT_NO_SUCH_VARIABLE", call.input_value)


def approval(call: FakeCall) -> str:
    """Do what flows/approval.json does."""
    if call.decision is None:
        raise HumanNeeded(call.input_value)
    return call.input_value


BEHAVIOURS: dict[str, Behaviour] = {
    "echo": lambda call: call.input_value,
    "behave": behave,
    "unbound": unbound,
    "approval": approval,
}
