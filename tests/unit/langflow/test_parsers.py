"""Parsers of what servers send, on anything that a server could send."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagma.langflow import (
    CallResult,
    Flow,
    FlowFailed,
    HumanRequest,
    JobStatus,
    LangflowError,
    TokenUsage,
    Trace,
    Variable,
)
from dagma.langflow.error_responses import error_of, retry_after
from dagma.langflow.events import EventReader, frames, lines
from dagma.langflow.http.transport import Reply
from dagma.langflow.redaction import Redactor

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
# Names that the parsers look for, so that the JSON is nearly right.
NAMES = st.sampled_from(
    [
        *("outputs", "results", "message", "text", "properties", "source", "usage", "inputs", "session_id", "status"),
        *("output", "errors", "error", "reason", "detail", "code", "error_detail", "type", "event", "data", "result"),
        *("build_data", "id", "valid", "next_vertices_ids", "to_run", "spans", "children", "tokenUsage", "latencyMs"),
        *("totalLatencyMs", "modelName", "input_tokens", "output_tokens", "total_tokens", "component_id", "content"),
        *("job_id", "name", "options", "allowed_decisions", "request_id", "timedelta", "category", "error_code"),
    ]
)
VALUES = st.sampled_from(
    ["completed", "failed", "single", "none", "end_vertex", "error", "vertices_sorted", "JOB_FAILED"]
)
NEARLY = st.recursive(
    JSON | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)
OBJECTS = st.dictionaries(NAMES, NEARLY, max_size=8)


def attempt(parse: Callable[..., Any], *arguments: Any) -> Any:
    """Return what was read, or the typed error; any other error fails the test."""
    try:
        return parse(*arguments)
    except LangflowError as error:
        return error


def reply(status: int, body: bytes, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status=status, headers=headers or {}, body=body, seconds=0.0, redactor=Redactor([]))


@given(body=OBJECTS)
def test_a_body_is_read_or_a_typed_error(body: dict[str, Any]):
    for parse in (
        CallResult.from_v1,
        CallResult.from_v2,
        Flow.of,
        Variable.of,
        HumanRequest.of,
    ):
        parsed = attempt(parse, body)
        assert isinstance(parsed, LangflowError) or parsed == parse(body), parse


@given(body=OBJECTS)
def test_a_trace_is_read_whatever_it_holds(body: dict[str, Any]):
    trace = Trace.of(body)
    assert trace.usage is None or trace.usage.total is None or trace.usage.total >= 0


@given(body=OBJECTS)
def test_a_flow_has_a_version_and_components_whatever_it_holds(body: dict[str, Any]):
    flow = Flow.of({**body, "id": "1", "name": "n"})
    assert len(flow.version) == 16
    assert isinstance(flow.asks_human, bool)
    assert all(isinstance(fields, frozenset) for fields in flow.components.values())


@given(status=st.integers(300, 999), body=NEARLY.map(json.dumps).map(str.encode) | st.binary(max_size=200))
def test_an_error_response_is_a_typed_error(status: int, body: bytes):
    error = error_of(reply(status, body), "run")
    assert error.status == status
    assert error.outcome in ("not_run", "failed", "unknown")
    assert len(str(error)) < 2000


@given(status=st.integers(200, 599), body=OBJECTS)
def test_a_state_of_a_job_is_read_or_a_typed_error(status: int, body: dict[str, Any]):
    state = attempt(JobStatus.of, reply(status, json.dumps(body).encode()), "id")
    if isinstance(state, JobStatus):
        assert state.over == (state.state in ("completed", "failed", "cancelled", "timed_out"))
        assert state.error is not None or state.raw == body
    else:
        assert 200 <= status < 600


@given(events=st.lists(OBJECTS, max_size=3))
def test_events_are_read_and_counted(events: list[dict[str, Any]]):
    reader = EventReader()
    for number, event in enumerate(events):
        for told in reader.read(json.dumps(event), str(number)):
            assert told.id == str(number)
            assert (told.done is None) == (told.total is None)
            assert told.done is None or told.total is None or 0 <= told.done <= told.total


@given(text=st.text(max_size=50))
def test_an_event_is_read_or_a_typed_error(text: str):
    events = attempt(lambda: list(EventReader().read(text)))
    assert isinstance(events, LangflowError) or isinstance(json.loads(text), dict)


@given(body=st.binary(max_size=300), cuts=st.lists(st.integers(1, 20), max_size=40))
def test_lines_do_not_depend_on_how_a_body_is_cut(body: bytes, cuts: list[int]):
    def read(chunks: list[bytes]) -> str:
        return str(attempt(lambda: list(lines(chunks, longest=1000))))

    chunks, rest = [], body
    for cut in cuts:
        chunks.append(rest[:cut])
        rest = rest[cut:]
    assert read([*chunks, rest]) == read([body])


@given(
    events=st.lists(
        st.tuples(
            st.text(alphabet=st.characters(exclude_characters="\r\n\0", codec="utf-8"), min_size=1), st.integers(1)
        ),
        max_size=5,
    ),
    comments=st.booleans(),
)
def test_events_that_were_framed_are_read_back(events: list[tuple[str, int]], comments: bool):
    text = "".join(f"{': sign of life' if comments else ''}\ndata: {data}\nid: {number}\n\n" for data, number in events)
    read = [frame for frame in frames(lines([text.encode()], longest=10_000), longest=10_000) if frame[0] is not None]
    assert read == [(data, str(number)) for data, number in events]


def test_an_event_that_breaks_off_is_dropped():
    assert list(frames(["data: one", "id: 1", "", "data: two", "id: 2"], longest=100)) == [("one", "1")]


@pytest.mark.parametrize("event_id", ["1\0", "1\rX-Evil: 2", "\u00fc"], ids=ascii)
def test_an_id_that_no_header_can_hold_is_none(event_id: str):
    assert list(frames(["data: one", f"id: {event_id}", ""], longest=100)) == [("one", None)]


def test_data_over_several_lines_is_one_event():
    assert list(frames(["data: one", "data:two", ""], longest=100)) == [("one\ntwo", None)]


@pytest.mark.parametrize("text", ["data: " + "x" * 200, "data: x\n" * 100])
def test_an_event_that_is_too_long_is_refused(text: str):
    with pytest.raises(LangflowError, match="longer than 100"):
        list(frames(text.split("\n"), longest=100))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("1.5", None),
        (" 30 ", 30.0),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("soon", None),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", None),
        ("9" * 400, 21_600.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (f"Wed, 21 Oct {'9' * 40} 07:28:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(value: str, seconds: float | None):
    assert retry_after({"Retry-After": value}) == seconds


def test_retry_after_as_a_date_counts_from_now():
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    assert retry_after({"Retry-After": later}) == pytest.approx(2 * 3600, abs=600)


@pytest.mark.parametrize("number", ["9" * 400, "1e999", "-1e999", "NaN", "true", '"7"'])
def test_a_number_that_can_not_be_reckoned_with_is_no_number(number: str):
    detail = f'{{"detail": {{"error_code": "busy", "message": "m", "retry_after": {number}}}}}'.encode()
    error = error_of(reply(429, detail), "run")
    assert isinstance(error, FlowFailed)
    trace = Trace.of(json.loads(f'{{"totalLatencyMs": {number}}}'))
    (end,) = EventReader().read(f'{{"event": "end", "data": {{"build_duration": {number}}}}}')
    assert (error.retry_after, trace.seconds, end.seconds) == (None, None, None)


@given(value=st.text(max_size=40))
def test_no_retry_after_breaks_the_reader(value: str):
    seconds = retry_after({"Retry-After": value})
    assert seconds is None or seconds >= 0.0


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({}, None),
        ([], None),
        ({"input_tokens": "7"}, None),
        ({"input_tokens": True}, None),
        ({"input_tokens": -1}, None),
        ({"input_tokens": 7}, TokenUsage(7, None, None)),
        ({"total_tokens": 500}, TokenUsage(None, None, 500)),
        ({"input_tokens": 7, "total_tokens": 10}, TokenUsage(7, None, 10)),
        ({"input_tokens": 7, "output_tokens": 3}, TokenUsage(7, 3, 10)),
        ({"input_tokens": 7, "output_tokens": 3, "total_tokens": 15}, TokenUsage(7, 3, 15)),
    ],
)
def test_usage_is_what_the_model_reported(usage: Any, expected: TokenUsage | None):
    assert TokenUsage.of(usage) == expected


def test_a_sum_of_usages_is_unknown_where_one_of_them_is():
    assert TokenUsage(7, 3, 10) + TokenUsage(1, 2, 3) == TokenUsage(8, 5, 13)
    assert TokenUsage(7, 3, 10) + TokenUsage(None, None, 500) == TokenUsage(None, None, 510)


def test_the_tokens_of_a_component_and_its_model_count_once():
    usage = {"promptTokens": 28, "completionTokens": 8, "totalTokens": 36}
    model = {"name": "ChatOpenAI", "modelName": "tiny", "tokenUsage": usage, "children": []}
    spans = [{"name": "Model", "tokenUsage": usage, "children": [model]}, {"name": "Chat Output"}]
    trace = Trace.of({"spans": spans, "totalLatencyMs": 291})
    assert (trace.usage, trace.model) == (TokenUsage(28, 8, 36), "tiny")
    assert trace.usage_by_model == {"tiny": TokenUsage(28, 8, 36)}
    assert trace.seconds == 0.291


def test_a_trace_tells_the_tokens_of_each_model():
    def model(name: str | None, tokens: int) -> dict[str, Any]:
        usage = {"promptTokens": tokens, "completionTokens": 1}
        return {"name": "Model", "modelName": name, "tokenUsage": usage}

    agent = {"name": "Agent", "modelName": "large", "children": [model(None, 10), model("small", 20)]}
    trace = Trace.of({"spans": [agent, model("small", 30)]})
    assert trace.usage_by_model == {"large": TokenUsage(10, 1, 11), "small": TokenUsage(50, 2, 52)}
    assert trace.usage == TokenUsage(60, 3, 63)


@pytest.mark.parametrize("children", [[], [{"name": "Tool"}]], ids=["without a model", "whose model tells nothing"])
def test_tokens_that_are_also_booked_to_another_component_count_once(children: list[dict[str, Any]]):
    usage = {"promptTokens": 1000, "completionTokens": 200, "totalTokens": 1200}
    model = {"name": "ChatOpenAI", "modelName": "tiny", "tokenUsage": usage, "children": []}
    other = {"name": "API Request", "modelName": None, "tokenUsage": usage, "children": children}
    trace = Trace.of({"spans": [{"name": "Language Model", "children": [model]}, other]})
    assert (trace.usage, trace.usage_by_model) == (TokenUsage(1000, 200, 1200), {"tiny": TokenUsage(1000, 200, 1200)})


def test_tokens_that_only_a_component_tells_count():
    trace = Trace.of({"spans": [{"name": "Own", "tokenUsage": {"totalTokens": 5}}, {"name": "Chat Output"}]})
    assert trace.usage_by_model == {None: TokenUsage(None, None, 5)}


def test_outputs_that_tell_the_same_tokens_count_them_once():
    def output(component: str, tokens: int) -> dict[str, Any]:
        usage = {"input_tokens": tokens, "output_tokens": 1}
        return {"component_id": component, "results": {"message": {"text": "", "properties": {"usage": usage}}}}

    result = CallResult.from_v1({"outputs": [{"outputs": [output("A", 10), output("B", 25), output("C", 25)]}]})
    assert result.usage == TokenUsage(25, 1, 26)


def test_several_answers_are_no_single_answer():
    def output(component: str, text: str) -> dict[str, Any]:
        return {"component_id": component, "results": {"message": {"text": text}}}

    result = CallResult.from_v1({"outputs": [{"outputs": [output("A", "one"), output("B", "two")]}]})
    assert (result.answer, result.outputs) == (None, {"A": "one", "B": "two"})


def test_data_without_text_is_an_output_without_an_answer():
    result = CallResult.from_v1({"outputs": [{"outputs": [{"component_id": "A", "results": {"data": {"rows": 3}}}]}]})
    assert (result.answer, result.outputs) == (None, {"A": {"data": {"rows": 3}}})
