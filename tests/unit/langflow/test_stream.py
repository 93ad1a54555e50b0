"""v1 streams that stall, break off or lie."""

import json
from dataclasses import replace

import pytest
from unit.langflow.conftest import IMPATIENT, MakeClient, without_end

from dagma.langflow import (
    CallTimeout,
    CompletedWithoutOutput,
    FlowFailed,
    LangflowClient,
    LangflowError,
    MalformedResponse,
    RateLimited,
    TokenUsage,
    Unreachable,
)
from dagma.testing import ComponentFailed, FakeAnswer, FakeCall, FakeLangflow, Fault

RESULT = {
    "session_id": "s",
    "outputs": [{"inputs": {"input_value": "x"}, "outputs": [{"results": {"message": {"text": "hi"}}}]}],
}
TOKEN = json.dumps({"event": "token", "data": {"chunk": "hi"}}) + "\n\n"
END = json.dumps({"event": "end", "data": {"result": RESULT}}) + "\n\n"


def test_tokens_come_one_by_one_and_the_end_has_the_result(fake_langflow: FakeLangflow, client: LangflowClient):
    flow_id = fake_langflow.add_flow("model", lambda _: FakeAnswer("It is Paris", "tiny", 20, 3, streamed=True))
    events = list(client.stream(flow_id, "Capital of France?"))
    assert "".join(event.text or "" for event in events if event.kind == "token").strip() == "It is Paris"
    result = events[-1].result
    assert result is not None
    assert (result.answer, result.model) == ("It is Paris", "tiny")
    assert result.usage == TokenUsage(20, 3, 23)


@pytest.mark.parametrize(
    "body",
    [
        TOKEN + END,
        TOKEN.replace("\n", "\r\n") + END,
        "data: " + TOKEN + "data:" + END,
        ": comment\n\n\n\n" + TOKEN + END.strip(),
    ],
    ids=["bare", "CRLF", "data", "comments and no last newline"],
)
def test_every_framing_is_read(fake_langflow: FakeLangflow, client: LangflowClient, echo: str, body: str):
    fake_langflow.script(Fault(status=200, body=body))
    assert [event.kind for event in client.stream(echo, "x")] == ["token", "finished"]


BROKEN: dict[str, tuple[Fault, type[LangflowError]]] = {
    "empty": (Fault(body=""), MalformedResponse),
    "no end": (Fault(body=TOKEN), MalformedResponse),
    "no JSON": (Fault(body=TOKEN + "<html>\n\n"), MalformedResponse),
    "no object": (Fault(body="[]\n\n"), MalformedResponse),
    "no UTF-8": (Fault(body=b"\xff\xfe\n\n"), MalformedResponse),
    "half an object": (Fault(body=TOKEN + END[:40]), MalformedResponse),
    "an end without a result": (Fault(body='{"event": "end", "data": {}}\n'), MalformedResponse),
    "an end without data": (Fault(body='{"event": "end"}\n'), MalformedResponse),
    "a result without outputs": (Fault(body='{"event": "end", "data": {"result": {}}}\n'), MalformedResponse),
    "a result with none": (
        Fault(body='{"event": "end", "data": {"result": {"outputs": []}}}\n'),
        CompletedWithoutOutput,
    ),
    "an input that it ignored": (Fault(body=END.replace('{"input_value": "x"}', "{}")), MalformedResponse),
    "an error": (Fault(body='{"event": "error", "data": {"error": "boom"}}\n'), FlowFailed),
    "an error without data": (Fault(body='{"event": "error"}\n'), FlowFailed),
    "a line without end": (Fault(raw=without_end(b"x" * 65_536)), MalformedResponse),
    "cut": (Fault(body=TOKEN + END, cut_after=60), Unreachable),
    "stall": (Fault(body=TOKEN + END, stall_after=60), CallTimeout),
    "blank lines without end": (Fault(raw=without_end(b"\n" * 4096)), CallTimeout),
    "events without end": (Fault(raw=without_end(TOKEN.encode() * 50)), CallTimeout),
    "JSON nested too deeply": (Fault(body='{"a":' * 100_000 + "\n"), MalformedResponse),
}


@pytest.mark.parametrize(("fault", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_stream_that_goes_wrong_is_an_error_and_is_not_sent_again(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, fault: Fault, expected: type[LangflowError]
):
    options = {"timeout": IMPATIENT} if expected is CallTimeout else {}
    fake_langflow.script(replace(fault, status=200, times=0))
    with pytest.raises(expected) as caught:
        for _ in make_client(max_body_bytes=1024 * 1024, **options).stream(echo, "x"):
            pass
    assert caught.value.outcome != "not_run"
    assert len(fake_langflow.requests) == 1


def test_a_component_that_raises_is_named(fake_langflow: FakeLangflow, client: LangflowClient):
    def fail(call: FakeCall) -> str:
        raise ComponentFailed("Prompt", f"No {fake_langflow.api_key} here")

    with pytest.raises(FlowFailed, match=r"No \*\*\* here") as caught:
        list(client.stream(fake_langflow.add_flow("failing", fail), "x"))
    assert caught.value.component == "Prompt"


def test_a_stream_that_was_refused_is_opened_again(fake_langflow: FakeLangflow, client: LangflowClient, echo: str):
    fake_langflow.script(Fault(status=429, headers={"Retry-After": "0"}))
    assert [event.kind for event in client.stream(echo, "x")][-1] == "finished"


def test_a_stream_that_is_always_refused_says_for_how_long(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str
):
    fake_langflow.script(Fault(status=429, headers={"Retry-After": "120"}, times=0))
    with pytest.raises(RateLimited) as caught:
        list(client.stream(echo, "x"))
    assert caught.value.retry_after == 120.0
