"""A call looks its flow up once, and so do calls that are made at the same time."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.calls.request import CallMode
from dagma.langflow import Flow, LangflowClient
from dagma.testing import FakeLangflow

CALLERS = 8
BEHAVE = json.loads((Path(__file__).parents[2] / "contract" / "flows" / "behave.json").read_text())


def test_calls_at_the_same_time_look_their_flow_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    waiting = threading.Barrier(CALLERS)

    def find_flow(_client: LangflowClient, flow_id: str, **_: object) -> Flow:
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


@pytest.mark.parametrize("mode", ["direct", "job"])
def test_a_call_whose_tweaks_are_checked_looks_its_flow_up_once(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch, mode: CallMode
) -> None:
    monkeypatch.setenv("DAGMA_LEDGER_URL", ledger_url)
    with FakeLangflow() as fake:
        flow_id = fake.add_flow("behave", flow=BEHAVE)
        backend = LangflowRestResource(base_url=fake.base_url, api_key=fake.api_key, mode=mode)
        backend.run_flow("hi", flow_id=BEHAVE["endpoint_name"], tweaks={"Behave-1": {"repeat": 2}})
        fetched = [request for request in fake.requests if request.path == f"/api/v1/flows/{flow_id}"]
    assert len(fetched) == 1
