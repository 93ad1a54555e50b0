"""Calls that are made at the same time look their flow up once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.langflow import Flow, LangflowClient

CALLERS = 8


def test_calls_at_the_same_time_look_their_flow_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    waiting = threading.Barrier(CALLERS)

    def find_flow(_client: LangflowClient, flow_id: str) -> Flow:
        asked.append(flow_id)
        # Long enough for all that passed the barrier to ask as well.
        threading.Event().wait(0.3)
        return Flow(id=flow_id, name="Ask", endpoint_name="ask", raw={})

    monkeypatch.setattr(LangflowClient, "find_flow", find_flow)
    backend = LangflowRestResource(base_url="http://127.0.0.1:9", api_key="sk-1")

    def look_up() -> str | None:
        waiting.wait(10)
        return backend.look_up("11111111-1111-4111-8111-111111111111").name

    with ThreadPoolExecutor(CALLERS) as pool:
        names = [future.result(10) for future in [pool.submit(look_up) for _ in range(CALLERS)]]
    assert names == ["Ask"] * CALLERS
    assert len(asked) == 1
