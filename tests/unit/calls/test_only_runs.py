"""A server that answers `POST /api/v1/run/{flow_id}` and nothing else: a gateway, or `lfx serve`."""

import logging
from collections.abc import Iterator

import pytest
from unit.calls.conftest import FLOW_ID, Flow, rows, sends

from dagma.backends.backend import Backend
from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.calls.request import FlowNotIdentified
from dagma.langflow import BadRequest
from dagma.testing import FakeLangflow, Fault

TWEAKS = {"ChatInput-1": {"sender_name": "me"}}


@pytest.fixture
def server(ledger_url: str, monkeypatch: pytest.MonkeyPatch, flow: Flow) -> Iterator[FakeLangflow]:
    monkeypatch.setenv("DAGMA_LEDGER_URL", ledger_url)
    monkeypatch.delenv("DAGMA_QUOTAS", raising=False)
    with FakeLangflow() as server:
        server.add_flow("assistant", flow, flow_id=FLOW_ID)
        for path in ("/api/v1/flows", "/api/v1/monitor", "/api/v2"):
            server.script(Fault(path=path, status=404, body={"detail": "Not Found"}, times=0))
        yield server


@pytest.fixture
def backend(server: FakeLangflow) -> Backend:
    return LangflowRestResource(base_url=server.base_url, api_key=server.api_key, default_flow_id=FLOW_ID, mode="auto")


def test_a_call_with_tweaks_is_sent_and_what_is_not_checked_is_told_once(
    server: FakeLangflow, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert backend.read(backend.run_flow("hi", tweaks=TWEAKS)).text == "You said hi."
    assert [request.path for request in sends(server)] == [f"/api/v1/run/{FLOW_ID}"] * 3
    assert sends(server)[0].json()["tweaks"] == TWEAKS
    unchecked = [record for record in caplog.records if "sent unchecked" in record.getMessage()]
    assert len(unchecked) == 1
    assert [row["mode"] for row in rows()] == ["direct"] * 3


def test_a_job_that_was_asked_for_can_not_be_had_there(backend: Backend) -> None:
    with pytest.raises(Exception, match="404"):
        backend.run_flow("hi", mode="job")


@pytest.mark.parametrize("quotas", ["calls=10/day", "flow:* calls=10/day", f"flow:{FLOW_ID} calls=10/day"])
def test_limits_that_need_no_name_hold_there(backend: Backend, monkeypatch: pytest.MonkeyPatch, quotas: str) -> None:
    monkeypatch.setenv("DAGMA_QUOTAS", quotas)
    assert backend.read(backend.run_flow("hi")).text == "You said hi."


def test_a_limit_that_may_be_for_the_flow_by_another_name_lets_nothing_out(
    server: FakeLangflow, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_QUOTAS", "flow:assistant calls=10/day")
    with pytest.raises(FlowNotIdentified):
        backend.run_flow("hi")
    assert sends(server) == []


def test_a_broken_tweak_is_refused_as_ever(backend: Backend) -> None:
    with pytest.raises(BadRequest, match="tweaks must map"):
        backend.run_flow("hi", tweaks={"ChatInput-1": "me"})
