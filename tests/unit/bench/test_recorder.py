"""The relay, between a client and a fake Langflow."""

import json
import threading
import time
from http.server import ThreadingHTTPServer

import pytest
import requests
from bench import recorder

from dagma.langflow import ApiKey, LangflowClient
from dagma.testing import FakeLangflow


def test_a_run_goes_through_and_its_arrival_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeLangflow() as fake, ThreadingHTTPServer(("127.0.0.1", 0), recorder.Relay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(recorder, "LANGFLOW", fake.base_url)
        flow_id = fake.add_flow("echo")
        before = time.time()
        with LangflowClient(f"http://127.0.0.1:{server.server_port}", auth=ApiKey(fake.api_key)) as client:
            raw = client.run(flow_id, "mark-1")
            refused = requests.get(f"http://127.0.0.1:{server.server_port}/api/v1/flows/", timeout=10)
        server.shutdown()

    assert raw["outputs"][0]["outputs"][0]["results"]["message"]["text"] == "mark-1"
    assert refused.status_code == 403
    (line,) = capsys.readouterr().out.splitlines()
    seen = json.loads(line)
    assert seen["input"] == "mark-1"
    assert before <= seen["at"] <= time.time()
