"""A call looks its flow up once."""

import json
from pathlib import Path

import pytest

from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.calls.request import CallMode
from dagma.testing import FakeLangflow

BEHAVE = json.loads((Path(__file__).parents[2] / "contract" / "flows" / "behave.json").read_text())


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
