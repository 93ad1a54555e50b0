"""What runs leave on a real Langflow can be listed by age and deleted."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from contract.conftest import FLOWS, LangflowServer

from dagma.langflow import Access, LangflowClient
from dagma.langflow.past_runs_api import StoredRecord


@pytest.fixture(scope="module")
def client(real_langflow: LangflowServer) -> Iterator[LangflowClient]:
    with LangflowClient(real_langflow.base_url, Access(api_key=real_langflow.api_key)) as client:
        yield client


@pytest.fixture(scope="module")
def flow_id(client: LangflowClient) -> Iterator[str]:
    """A flow of the test's own, which repeats its input."""
    flow_id = str(uuid4())
    flow = json.loads((FLOWS / "echo.json").read_text())
    client.upsert_flow({**flow, "id": flow_id, "name": flow_id, "endpoint_name": flow_id})
    yield flow_id
    client.delete_flow(flow_id)


def traces_of(client: LangflowClient, sessions: set[str], until: datetime) -> list[StoredRecord]:
    return [trace for trace in client.list_traces(until) if trace.session_id in sessions]


def test_messages_and_traces_are_listed_from_the_newest_and_deleted(client: LangflowClient, flow_id: str) -> None:
    began = datetime.now(UTC)
    sessions = [f"call-{uuid4().hex}" for _ in range(3)]
    for session in sessions:
        client.run(flow_id, "hello", session_id=session)

    messages = client.list_messages(flow_id)
    assert [each.session_id for each in messages] == [session for session in reversed(sessions) for _ in range(2)]
    assert client.list_messages(flow_id, offset=1, limit=2) == messages[1:3]
    assert client.list_messages(flow_id, offset=6) == []
    assert all(abs(each.at - began) < timedelta(minutes=5) for each in messages)

    later = datetime.now(UTC) + timedelta(minutes=5)
    deadline = time.monotonic() + 30
    # Langflow writes traces after it has answered.
    while len(traces := traces_of(client, set(sessions), later)) < 3:
        assert time.monotonic() < deadline, traces
        time.sleep(0.2)
    assert [each.session_id for each in traces] == sessions[::-1]
    assert traces_of(client, set(sessions), began - timedelta(minutes=5)) == []
    assert client.list_traces(later, page=10_000) == []

    client.delete_messages([each.id for each in messages[2:]])
    client.delete_messages([messages[2].id, str(uuid4())])
    assert client.list_messages(flow_id) == messages[:2]

    assert [client.delete_trace(each.id) for each in traces[1:]] == [True, True]
    assert client.delete_trace(traces[1].id) is False
    assert traces_of(client, set(sessions), later) == traces[:1]
