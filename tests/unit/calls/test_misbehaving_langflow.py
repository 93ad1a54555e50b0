"""Direct calls to servers that misbehave: each an answer or a typed error, and one row that says how it ended."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from unit.calls.conftest import FLOW_ID, NO_HISTORY, patience, rows, sends
from unit.langflow.test_misbehaviour import BODIES, CONTENT_TYPES, GOOD, MOMENTS, STATUSES, WRONG_ANSWERS

from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.calls.call_policy import CallPolicy
from dagma.langflow import (
    BadRequest,
    CallTimeout,
    CompletedWithoutOutput,
    FlowFailed,
    LangflowError,
    MalformedResponse,
    RedirectRefused,
    Unreachable,
)
from dagma.ledger import LedgerSettings
from dagma.ledger.reports import standings
from dagma.testing import FakeLangflow, Fault

# Of no shape that the ledger would hide by itself.
API_KEY = "correct-horse-battery-staple"
RESERVED = 100

Misbehaviour = tuple[Fault, type[LangflowError]]
MakeBackend = Callable[..., LangflowRestResource]
ERROR_STATUSES: dict[str, Misbehaviour] = {
    **{f"{status}": (Fault(status=status, body=BODIES["a detail"]), error) for status, error in STATUSES.items()},
    **{f"500 with {name}": (Fault(status=500, body=body), STATUSES[500]) for name, body in BODIES.items()},
}
ANSWERS: dict[str, Misbehaviour] = {
    name: (Fault(status=200, body=body), error) for name, (body, error) in WRONG_ANSWERS.items()
}
REDIRECTS: dict[str, Misbehaviour] = {
    f"{status} to {location}": (Fault(status=status, headers={"Location": location}), RedirectRefused)
    for status in (301, 307)
    for location in ("https://user:hidden@elsewhere.example/", "/login", "http://[broken", "")
}
SAYING_THE_KEY = {"text": f"The key {API_KEY} is odd", "category": "error"}
ECHOES: dict[str, Misbehaviour] = {
    "the key as detail": (Fault(status=400, body={"detail": f"x-api-key: {API_KEY}"}), BadRequest),
    "the key in a page": (Fault(status=200, body=f"<html>{API_KEY}</html>"), MalformedResponse),
    "the key in a redirect": (
        Fault(status=302, headers={"Location": f"https://elsewhere.example/{API_KEY}?key={API_KEY}"}),
        RedirectRefused,
    ),
    "the key in a header": (Fault(status=200, body="", headers={"Content-Encoding": API_KEY}), MalformedResponse),
    "the key in place of HTTP": (Fault(raw=f"{API_KEY}\r\n{API_KEY}\r\n".encode()), MalformedResponse),
    "the key by a component": (
        Fault(status=500, body={"detail": json.dumps({"message": f"Error running graph: {API_KEY}"})}),
        FlowFailed,
    ),
    "the key as an error's message": (
        Fault(status=200, body={"outputs": [{"outputs": [{"results": {"message": SAYING_THE_KEY}}]}]}),
        FlowFailed,
    ),
    "the key in outputs without text": (
        Fault(status=200, body={"outputs": [{"outputs": [], "inputs": {API_KEY: API_KEY}}]}),
        CompletedWithoutOutput,
    ),
}
TERABYTE = "announces a chunk of a terabyte"
CATALOGUE: dict[str, Misbehaviour] = {
    **MOMENTS,
    **{f"answers {name}": each for name, each in ERROR_STATUSES.items()},
    **{f"answers 200 with {name}": each for name, each in ANSWERS.items()},
    **{f"redirects with {name}": each for name, each in REDIRECTS.items()},
    **{f"repeats {name}": each for name, each in ECHOES.items()},
    # It sends less than the resource reads at most, and hangs up.
    TERABYTE: (MOMENTS[TERABYTE][0], Unreachable),
}


@pytest.fixture(autouse=True)
def settings(fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "api_key", API_KEY)
    fake.script(NO_HISTORY)
    monkeypatch.setenv("DAGMA_QUOTAS", f"tokens=1000000/month reserve={RESERVED}")


@pytest.fixture
def make_backend(fake: FakeLangflow) -> Iterator[MakeBackend]:
    """Make the backend whose server will misbehave in this way."""
    made: list[LangflowRestResource] = []

    def make(fault: Fault, policy: CallPolicy | None = None) -> LangflowRestResource:
        backend = LangflowRestResource(
            base_url=fake.base_url,
            api_key=API_KEY,
            default_flow_id=FLOW_ID,
            timeout=patience(fault),
            mode="direct",
            policy=policy or CallPolicy(),
        )
        made.append(backend)
        fake.script(fault)
        return backend

    yield make
    for backend in made:
        backend.client.close()


def counted_tokens() -> int:
    """What the quota counts at this moment."""
    ledger = LedgerSettings.from_environment().open()
    (standing,) = standings(ledger.database, ledger.limits, datetime.now(UTC))
    return int(standing.used)


def the_row(folder: Path) -> dict[str, Any]:
    """The only row, after the checks that hold however a call ended."""
    (row,) = rows()
    assert row["finished_at"] >= row["begun_at"]
    assert row["attempt"] == 1
    assert list(folder.glob("*.live/*")) == [], "The call is still marked as being sent."
    for file in folder.rglob("*"):
        assert file.is_dir() or API_KEY.encode() not in file.read_bytes()
    return row


@pytest.mark.parametrize(("fault", "expected"), CATALOGUE.values(), ids=CATALOGUE)
def test_a_call_without_an_answer_is_a_typed_error_and_one_row_that_says_so(
    fake: FakeLangflow, make_backend: MakeBackend, tmp_path: Path, fault: Fault, expected: type[LangflowError]
) -> None:
    backend = make_backend(replace(fault, path="/api/v1/run", times=0))
    with pytest.raises(LangflowError) as caught:
        backend.run_flow("hi")

    error = caught.value
    # What has no end may as well end with the time.
    assert type(error) in ((expected, CallTimeout) if fault.endless else (expected,))
    assert error.outcome == "not_run" or len(sends(fake)) == 1
    row = the_row(tmp_path)
    assert row["state"] == ("unknown" if error.outcome == "unknown" else "failed")
    assert row["error_class"] == type(error).__name__
    assert (row["answer_text"], row["total_tokens"]) == (None, None)
    assert counted_tokens() == (RESERVED if row["state"] == "unknown" else 0)


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_an_answer_under_any_content_type_is_one_answered_row(
    make_backend: MakeBackend, tmp_path: Path, content_type: str
) -> None:
    backend = make_backend(Fault(path="/api/v1/run", status=200, body=GOOD, headers={"Content-Type": content_type}))
    assert backend.run_flow("hi") == GOOD
    row = the_row(tmp_path)
    assert (row["state"], row["error_class"], row["answer_text"]) == ("answered", None, "hello")


@pytest.mark.parametrize("fault", [fault for fault, _ in MOMENTS.values()], ids=MOMENTS)
def test_a_look_up_without_an_answer_costs_no_call(make_backend: MakeBackend, tmp_path: Path, fault: Fault) -> None:
    backend = make_backend(replace(fault, path="/api/v1/flows", times=0), CallPolicy(look_up_seconds=0.3))
    assert backend.read(backend.run_flow("hi")).text == "You said hi."
    row = the_row(tmp_path)
    assert (row["state"], row["error_class"], row["flow_id"]) == ("answered", None, FLOW_ID)
