import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from unit.langflow.conftest import MakeClient

from dagma.langflow import BadRequest, CallTimeout, LangflowError, flow
from dagma.testing import FakeCall, FakeLangflow, Fault

BEHAVE = json.loads((Path(__file__).parents[2] / "contract" / "flows" / "behave.json").read_text())
GOOD = {"Behave-1": {"repeat": 2}}


@pytest.fixture
def flow_id(fake_langflow: FakeLangflow) -> str:
    def repeat(call: FakeCall) -> str:
        return call.input_value * call.tweaks.get("Behave-1", {}).get("repeat", 1)

    return fake_langflow.add_flow("behave", repeat, flow=BEHAVE)


def lookups(fake: FakeLangflow) -> int:
    return len([request for request in fake.requests if request.path.startswith("/api/v1/flows/")])


def test_the_flow_is_fetched_once_for_many_calls(fake_langflow: FakeLangflow, make_client: MakeClient, flow_id: str):
    client = make_client()
    for _ in range(3):
        assert client.run(flow_id, "ab", tweaks=GOOD).answer == "abab"
    assert lookups(fake_langflow) == 1


def test_calls_without_tweaks_fetch_no_flow(fake_langflow: FakeLangflow, make_client: MakeClient, flow_id: str):
    make_client().run(flow_id, "ab")
    make_client().run(flow_id, "ab", tweaks={})
    assert lookups(fake_langflow) == 0


def test_a_flow_is_fetched_again_when_it_is_old(
    fake_langflow: FakeLangflow, make_client: MakeClient, flow_id: str, monkeypatch: pytest.MonkeyPatch
):
    client = make_client()
    client.run(flow_id, "ab", tweaks=GOOD)
    later = time.monotonic() + 10
    monkeypatch.setattr(flow, "time", SimpleNamespace(monotonic=lambda: later))
    client.run(flow_id, "ab", tweaks=GOOD)
    assert lookups(fake_langflow) == 2


def test_a_flow_is_found_by_its_endpoint_name(fake_langflow: FakeLangflow, make_client: MakeClient, flow_id: str):
    client = make_client()
    with pytest.raises(BadRequest, match="no component"):
        client.run(BEHAVE["endpoint_name"], "ab", tweaks={"Nobody-1": {"x": 1}})
    assert client.run(BEHAVE["endpoint_name"], "ab", tweaks=GOOD).answer == "abab"


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("way", ["run", "stream", "submit"])
def test_a_look_up_that_fails_runs_nothing(
    fake_langflow: FakeLangflow, make_client: MakeClient, flow_id: str, way: str, status: int
):
    fake_langflow.script(Fault(path="/api/v1/flows", status=status, times=0))
    for address in (flow_id, BEHAVE["endpoint_name"]):
        with pytest.raises(LangflowError, match=str(status)) as caught:
            list(getattr(make_client(), way)(address, "ab", tweaks=GOOD))
        assert caught.value.outcome == "not_run"


@pytest.mark.parametrize("first", ["patient", "impatient"])
def test_calls_that_share_a_look_up_each_keep_their_own_deadline(
    fake_langflow: FakeLangflow, make_client: MakeClient, flow_id: str, first: str
):
    client, seconds = make_client(), {"patient": 20.0, "impatient": 0.5}
    fake_langflow.script(Fault(path="/api/v1/flows", delay=2.0))
    with ThreadPoolExecutor(2) as pool:
        calls = {}
        for caller in sorted(seconds, key=lambda each: each != first):
            calls[caller] = pool.submit(client.run, flow_id, "ab", tweaks=GOOD, timeout=seconds[caller])
            time.sleep(0.2)
        with pytest.raises(CallTimeout, match=r"deadline of 0\.5 s") as caught:
            calls["impatient"].result(1.5)
        assert caught.value.outcome == "not_run"
        assert calls["patient"].result(10).answer == "abab"


@pytest.mark.parametrize("status", [401, 403, 404, 405, 501])
def test_a_look_up_that_is_refused_keeps_no_run_from_being_sent_and_is_told_once(
    fake_langflow: FakeLangflow,
    make_client: MakeClient,
    flow_id: str,
    status: int,
    caplog: pytest.LogCaptureFixture,
):
    for number in range(3):
        # A gateway's page may differ each time, such as in the id of the request.
        body = {"detail": f"Refused, request {number}."}
        fake_langflow.script(Fault(path="/api/v1/flows", status=status, body=body))
    client = make_client()
    for way in ("run", "stream", "run"):
        list(getattr(client, way)(flow_id, "ab", tweaks=GOOD)) if way == "stream" else client.run(
            flow_id, "ab", tweaks=GOOD
        )
    warnings = [record.getMessage() for record in caplog.records if "unchecked" in record.getMessage()]
    assert len(warnings) == 1
    assert flow_id in warnings[0]
    assert str(status) in warnings[0]


def test_a_key_that_can_not_be_checked_is_no_refusal(
    fake_langflow: FakeLangflow, make_client: MakeClient, flow_id: str
):
    # Langflow's database is away: the look-up will work again, and so will its check of the tweaks.
    fake_langflow.script(
        Fault(path="/api/v1/flows", status=403, body={"detail": "API key authentication failed"}, times=0)
    )
    with pytest.raises(LangflowError, match="database is away"):
        make_client().run(flow_id, "ab", tweaks=GOOD)
