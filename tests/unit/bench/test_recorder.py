"""The relay, between a client and a fake Langflow."""

import json
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import ThreadingHTTPServer

import pytest
import requests
from bench import recorder

from dagma.langflow import Access, LangflowClient
from dagma.testing import FakeLangflow, Fault


@pytest.fixture
def address() -> Iterator[str]:
    """Give the address of a relay on a free port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), recorder.Relay) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_run_goes_through_and_its_arrival_is_printed(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeLangflow() as fake, LangflowClient(address, Access(api_key=fake.api_key)) as client:
        monkeypatch.setattr(recorder, "LANGFLOW", fake.base_url)
        flow_id = fake.add_flow("echo")
        before = time.time()
        result = client.run(flow_id, "mark-1")
        refused = requests.get(f"{address}/api/v1/flows/", timeout=10)

    assert result.answer == "mark-1"
    assert refused.status_code == 403
    (line,) = capsys.readouterr().out.splitlines()
    seen = json.loads(line)
    assert seen["input"] == "mark-1"
    assert before <= seen["at"] <= time.time()


def test_a_langflow_that_is_away_or_hangs_up_is_a_bad_gateway(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeLangflow() as fake:
        monkeypatch.setattr(recorder, "LANGFLOW", fake.base_url)
        fake.script(Fault(drop=True))
        hung_up = requests.get(f"{address}/health", timeout=10)
    away = requests.get(f"{address}/health", timeout=10)

    assert (hung_up.status_code, away.status_code) == (HTTPStatus.BAD_GATEWAY, HTTPStatus.BAD_GATEWAY)
    assert capsys.readouterr() == ("", "")
