"""Servers that repeat the API key: the call is one row that says how it ended, and no file holds the key."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from unit.calls.conftest import FLOW_ID, NO_HISTORY, rows, sends

from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.langflow import (
    BadRequest,
    CompletedWithoutOutput,
    FlowFailed,
    LangflowError,
    MalformedResponse,
    RedirectRefused,
)
from dagma.testing import FakeLangflow, Fault

# Of no shape that the ledger would hide by itself.
API_KEY = "correct-horse-battery-staple"
SAYING_THE_KEY = {"text": f"The key {API_KEY} is odd", "category": "error"}
ECHOES: dict[str, tuple[Fault, type[LangflowError]]] = {
    "as detail": (Fault(status=400, body={"detail": f"x-api-key: {API_KEY}"}), BadRequest),
    "in a page": (Fault(status=200, body=f"<html>{API_KEY}</html>"), MalformedResponse),
    "in a redirect": (
        Fault(status=302, headers={"Location": f"https://elsewhere.example/{API_KEY}?key={API_KEY}"}),
        RedirectRefused,
    ),
    "in a header": (Fault(status=200, body="", headers={"Content-Encoding": API_KEY}), MalformedResponse),
    "in place of HTTP": (Fault(raw=f"{API_KEY}\r\n{API_KEY}\r\n".encode()), MalformedResponse),
    "by a component": (
        Fault(status=500, body={"detail": json.dumps({"message": f"Error running graph: {API_KEY}"})}),
        FlowFailed,
    ),
    "as an error's message": (
        Fault(status=200, body={"outputs": [{"outputs": [{"results": {"message": SAYING_THE_KEY}}]}]}),
        FlowFailed,
    ),
    "in outputs without text": (
        Fault(status=200, body={"outputs": [{"outputs": [], "inputs": {API_KEY: API_KEY}}]}),
        CompletedWithoutOutput,
    ),
}


@pytest.mark.parametrize(("fault", "expected"), ECHOES.values(), ids=ECHOES)
def test_a_key_that_a_server_repeats_is_in_no_file(
    fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: Fault, expected: type[LangflowError]
) -> None:
    monkeypatch.setattr(fake, "api_key", API_KEY)
    fake.script(NO_HISTORY, replace(fault, path="/api/v1/run", times=0))
    backend = LangflowRestResource(base_url=fake.base_url, api_key=API_KEY, default_flow_id=FLOW_ID)
    with pytest.raises(expected) as caught:
        backend.run_flow("hi")
    backend.client.close()

    (row,) = rows()
    assert row["state"] == ("unknown" if caught.value.outcome == "unknown" else "failed")
    assert (row["error_class"], row["attempt"], row["answer_text"]) == (expected.__name__, 1, None)
    assert row["finished_at"] >= row["begun_at"]
    assert len(sends(fake)) == 1
    assert list(tmp_path.glob("*.live/*")) == [], "The call is still marked as being sent."
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or API_KEY.encode() not in file.read_bytes()
