"""The answers of background jobs: whole, with their figures, or with the reason why there is none."""

import json
from dataclasses import replace

import pytest
from unit.langflow.conftest import MakeClient, without_end

from dagma.langflow import (
    CallResult,
    CallTimeout,
    CompletedWithoutOutput,
    FlowFailed,
    JobLost,
    LangflowClient,
    LangflowError,
    MalformedResponse,
    TokenUsage,
    TruncatedAnswer,
)
from dagma.testing import ComponentFailed, FakeAnswer, FakeCall, FakeLangflow, Fault, VariableMissing, shapes

EVENTS = "/events"
CUT = "x" * 6000 + "..."
OWN_END = "an end of its own, " * 100 + "..."


def outputs(*texts: str) -> dict[str, object]:
    """The state of a completed job, as far as its texts go: the first one's component is ChatOutput-1."""
    named = {f"ChatOutput-{number}": text for number, text in enumerate(texts, 1)}
    single = {"reason": "single", "text": texts[0], "source": "ChatOutput-1"}
    return {
        "status": "completed",
        "output": single if len(texts) == 1 else {"reason": "multiple", "text": None, "source": None},
        "outputs": {name: {"type": "message", "content": text} for name, text in named.items()},
    }


def told(*messages: tuple[str | None, str], **more: str) -> str:
    """The events of a job, as far as its messages go: the component that each names, and its text."""
    data = [{"text": text, "properties": {"source": {"id": source}}, **more} for source, text in messages]
    bodies = [*({"event": "add_message", "data": each} for each in data), {"event": "end", "data": {}}]
    return "".join(f"data: {json.dumps(body)}\nid: {number}\n\n" for number, body in enumerate(bodies, 1))


def gave(component: str, **given: object) -> str:
    """The events of a job, as far as they tell what a component gave, by the names of its outputs."""
    named = {name: {"message": each} for name, each in given.items()}
    build = {"id": component, "valid": True, "data": {"outputs": named}}
    return "".join(
        f"data: {json.dumps({'event': event, 'data': data})}\n\n"
        for event, data in (("end_vertex", {"build_data": build}), ("end", {}))
    )


def unspoken(component: str) -> dict[str, object]:
    """The state of a completed job whose only component gave something that its state does not tell."""
    output = {"reason": "non_string", "text": None, "source": None}
    return {"status": "completed", "output": output, "outputs": {component: {"type": "message", "content": None}}}


def collected(fake: FakeLangflow, client: LangflowClient, state: dict[str, object], events: str) -> CallResult:
    job_id = client.submit(fake.add_flow(f"talker {len(fake.jobs)}"), "Talk.")
    body = {"job_id": job_id, **state}
    fake.script(Fault(path="/workflows", method="GET", status=200, body=body))
    fake.script(Fault(path=EVENTS, status=200, body=events, times=0))
    return client.collect(job_id)


def test_tokens_and_model_come_from_the_trace(fake_langflow: FakeLangflow, client: LangflowClient):
    flow_id = fake_langflow.add_flow("model", lambda _: FakeAnswer("Paris", "tiny", input_tokens=20, output_tokens=3))
    result = client.collect(client.submit(flow_id, "Capital of France?"))
    assert (result.answer, result.model) == ("Paris", "tiny")
    assert result.usage == TokenUsage(input=20, output=3, total=23)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404),
        Fault(status=500),
        Fault(status=200, body="<html>"),
        Fault(status=200, body=[]),
        Fault(drop=True),
        Fault(delay=20.0),
        Fault(raw=without_end(b"x" * 65_536)),
    ],
    ids=["404", "500", "html", "list", "drop", "silent", "endless"],
)
def test_a_trace_that_can_not_be_had_costs_no_answer(
    fake_langflow: FakeLangflow,
    make_client: MakeClient,
    echo: str,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
):
    client = make_client(timeout=3.0, max_body_bytes=1024 * 1024)
    fake_langflow.script(replace(fault, path="/traces", times=0))
    result = client.collect(client.submit(echo, "hello"))
    assert (result.answer, result.usage) == ("hello", None)
    assert "flow's id" not in caplog.text


def test_tokens_that_the_trace_does_not_tell_are_kept(fake_langflow: FakeLangflow, client: LangflowClient):
    fake_langflow.add_flow("model", lambda _: FakeAnswer("Paris", "tiny", input_tokens=20, output_tokens=3))
    result = client.run("model", "Capital of France?")
    fake_langflow.script(Fault(path="/traces", status=200, body={"totalLatencyMs": 5, "spans": []}))
    traced = client.with_trace(result)
    assert (traced.usage, traced.model, traced.seconds) == (TokenUsage(20, 3, 23), "tiny", 0.005)


@pytest.mark.parametrize("run_id", [None, "", "no-uuid", "../../flows", 7])
def test_a_run_whose_id_can_be_none_keeps_its_answer_and_time(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str, run_id: object
):
    said = shapes.message("hello", "session", "ChatOutput-1") | {"run_id": run_id}
    body = shapes.v1_result({"input_value": "hello"}, "ChatOutput-1", said)
    fake_langflow.script(Fault(path="/api/v1/run", status=200, body=body))
    result = client.run(echo, "hello")
    assert client.with_trace(result) == result
    assert result.answer == "hello"
    assert result.seconds is not None
    assert len(fake_langflow.requests) == 1


@pytest.mark.parametrize("text", ["x" * 6001, "x" * 9000, "...", "wait..." * 2000, OWN_END])
def test_a_text_that_langflow_cuts_is_whole(fake_langflow: FakeLangflow, client: LangflowClient, text: str):
    flow_id = fake_langflow.add_flow("talker", lambda _: text)
    result = client.collect(client.submit(flow_id, "Talk."))
    assert result.answer == text
    assert list(result.outputs.values()) == [text]


def test_every_text_that_langflow_cuts_is_whole(fake_langflow: FakeLangflow, client: LangflowClient):
    messages = told((None, "Talk."), ("Model-1", "x" * 9000), ("Model-2", "y" * 7000))
    result = collected(fake_langflow, client, outputs(CUT, "y" * 6000 + "...", "z..."), messages)
    assert result.answer is None
    assert list(result.outputs.values()) == ["x" * 9000, "y" * 7000, "z..."]


@pytest.mark.parametrize("messages", [(), ((None, "y" * 9000),)], ids=["none", "another's"])
def test_one_of_several_texts_that_is_cut_and_not_in_the_events_is_an_error(
    fake_langflow: FakeLangflow, client: LangflowClient, messages: tuple[tuple[str | None, str], ...]
):
    with pytest.raises(TruncatedAnswer, match=r"ChatOutput-2 .* 6000 characters"):
        collected(fake_langflow, client, outputs("short", CUT), told(*messages))


def test_a_text_that_only_an_event_tells_is_an_error_where_it_is_cut(
    fake_langflow: FakeLangflow, client: LangflowClient
):
    whole = collected(fake_langflow, client, unspoken("Model-1"), gave("Model-1", text_output="x" * 6000))
    assert whole.outputs == {"Model-1": "x" * 6000}
    fake_langflow.clear()
    with pytest.raises(TruncatedAnswer, match=r"Model-1 .* 6000 characters"):
        collected(fake_langflow, client, unspoken("Model-1"), gave("Model-1", text_output=CUT))


@pytest.mark.parametrize("body", ["data: {}\n\n", "<html>Log in</html>\n"], ids=["early end", "page"])
def test_data_that_no_event_tells_is_kept_for_later_where_the_events_are_not_whole(
    fake_langflow: FakeLangflow, client: LangflowClient, body: str
):
    with pytest.raises(MalformedResponse) as caught:
        collected(fake_langflow, client, unspoken("Table-1"), body)
    assert caught.value.outcome == "unknown"


CUT_ROWS = [*({"id": number} for number in range(1000)), "... [truncated 500 items]"]


@pytest.mark.parametrize("given", [{"table": CUT_ROWS}, {"data": {"items": CUT_ROWS}, "text": "x"}], ids=["one", "two"])
def test_a_list_that_langflow_cuts_is_an_error(
    fake_langflow: FakeLangflow, client: LangflowClient, given: dict[str, object]
):
    with pytest.raises(TruncatedAnswer, match="after 1000 items") as caught:
        collected(fake_langflow, client, unspoken("Table-1"), gave("Table-1", **given))
    assert "LANGFLOW_MAX_ITEMS_LENGTH" in str(caught.value)


def test_a_list_that_langflow_cuts_in_the_state_of_a_job_is_an_error(
    fake_langflow: FakeLangflow, client: LangflowClient
):
    state = unspoken("Table-1") | {"outputs": {"Table-1": {"type": "data", "content": CUT_ROWS}}}
    with pytest.raises(TruncatedAnswer, match="after 1000 items"):
        collected(fake_langflow, client, state, gave("Table-1"))


@pytest.mark.parametrize("rows", [[], [{"id": 1}], ["and so on ... [truncated 500 items]"]], ids=["0", "1", "text"])
def test_a_list_that_is_whole_is_given(fake_langflow: FakeLangflow, client: LangflowClient, rows: list[object]):
    result = collected(fake_langflow, client, unspoken("Table-1"), gave("Table-1", table=rows))
    assert result.outputs == {"Table-1": rows}


@pytest.mark.parametrize("limit", [1000, 6000, 10_000, 1_000_000])
def test_a_text_that_no_message_tells_is_an_error_wherever_it_is_cut(
    fake_langflow: FakeLangflow, client: LangflowClient, limit: int
):
    with pytest.raises(TruncatedAnswer, match=f" {limit} characters") as caught:
        collected(fake_langflow, client, outputs("x" * limit + "..."), told((None, "Talk.")))
    assert caught.value.outcome == "failed"


@pytest.mark.parametrize("answer", ["...", "Wait..."])
def test_an_answer_is_not_replaced_by_another_message_that_begins_like_it(
    fake_langflow: FakeLangflow, client: LangflowClient, answer: str
):
    result = collected(fake_langflow, client, outputs(answer), told(("Input-1", "Wait, and say no word.")))
    assert result.answer == answer


def test_an_answer_is_not_replaced_by_the_question_that_it_begins_like(
    fake_langflow: FakeLangflow, client: LangflowClient
):
    with pytest.raises(TruncatedAnswer):
        collected(fake_langflow, client, outputs(CUT), told((None, "x" * 9000), sender="User"))


def test_of_two_texts_that_begin_alike_none_is_guessed(fake_langflow: FakeLangflow, client: LangflowClient):
    own, other = "x" * 6000 + " mine", "x" * 6000 + " another's"
    with pytest.raises(TruncatedAnswer, match="no one message"):
        collected(fake_langflow, client, outputs(CUT), told(("Model-1", own), ("Model-2", other)))


def test_a_message_that_grows_counts_in_its_last_version(fake_langflow: FakeLangflow, client: LangflowClient):
    growing = told(("Agent-1", "x" * 6001), ("Agent-1", "x" * 9000), id="message-1")
    assert collected(fake_langflow, client, outputs(CUT), growing).answer == "x" * 9000


def test_a_text_that_may_be_cut_is_whole_though_its_events_fail_once(
    fake_langflow: FakeLangflow, client: LangflowClient
):
    flow_id = fake_langflow.add_flow("talker", lambda _: "x" * 9000)
    job_id = client.submit(flow_id, "Talk.")
    fake_langflow.script(Fault(path=EVENTS, status=503))
    assert client.collect(job_id).answer == "x" * 9000


@pytest.mark.parametrize("text", ["x" * 9000, OWN_END], ids=["cut", "whole"])
@pytest.mark.parametrize(
    ("fault", "retryable"),
    [
        (Fault(status=503), True),
        (Fault(drop=True), True),
        (Fault(status=200, body="data: {}\n\n"), True),
        (Fault(status=200, body=told((None, "x" * 7000)).partition("\n\n")[0] + "\n\n"), True),
        (Fault(status=429), True),
        (Fault(status=404), False),
    ],
    ids=["503", "drop", "early end", "growing message", "429", "404"],
)
def test_a_text_that_may_be_cut_is_kept_for_later_while_its_events_can_not_be_read(
    fake_langflow: FakeLangflow, client: LangflowClient, text: str, fault: Fault, retryable: bool
):
    flow_id = fake_langflow.add_flow("talker", lambda _: text)
    job_id = client.submit(flow_id, "Talk.")
    fake_langflow.script(replace(fault, path=EVENTS, times=0))
    with pytest.raises(LangflowError) as caught:
        client.collect(job_id)
    assert (caught.value.outcome, caught.value.retryable) == ("unknown", retryable)
    fake_langflow.clear()
    assert client.collect(job_id).answer == text


@pytest.mark.parametrize(
    "body",
    [
        {"status": "completed"},
        {"status": "completed", "output": {"reason": "single", "text": None}, "outputs": {}},
        {"status": "completed", "output": {"reason": "single", "text": 7}, "outputs": {}},
        {"status": "completed", "output": [], "outputs": {}},
        {"status": "done"},
        {"status": None},
        {},
        [],
        "",
        "<html>",
    ],
    ids=str,
)
def test_a_state_that_lies_is_malformed(fake_langflow: FakeLangflow, client: LangflowClient, echo: str, body: object):
    job_id = client.submit(echo, "hello")
    lie = {"job_id": job_id, **body} if isinstance(body, dict) else body
    fake_langflow.script(Fault(path="/workflows", method="GET", status=200, body=lie, times=0))
    with pytest.raises(MalformedResponse):
        client.collect(job_id)


def test_langflows_own_time_limit_ends_a_job(fake_langflow: FakeLangflow, client: LangflowClient, echo: str):
    job_id = client.submit(echo, "hello")
    body = {"detail": {"code": "EXECUTION_TIMEOUT"}}
    fake_langflow.script(Fault(path="/workflows", method="GET", status=408, body=body, times=0))
    assert client.status(job_id).state == "failed"
    with pytest.raises(CallTimeout) as caught:
        client.collect(job_id)
    assert caught.value.outcome == "failed"


@pytest.mark.parametrize("detail", [{}, [], "text", {"type": 7}, {"text": None}, {"properties": {"source": []}}])
def test_a_failed_job_is_a_failed_flow_whatever_its_reason_looks_like(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str, detail: object
):
    job_id = client.submit(echo, "hello")
    body = {"detail": {"code": "JOB_FAILED", "error_detail": detail}}
    fake_langflow.script(Fault(path="/workflows", method="GET", status=500, body=body, times=0))
    with pytest.raises(FlowFailed):
        client.collect(job_id)


@pytest.mark.parametrize("act", ["status", "collect"])
def test_a_failed_job_shows_no_secret_of_the_client(fake_langflow: FakeLangflow, make_client: MakeClient, act: str):
    def echo_key(call: FakeCall) -> str:
        raise ComponentFailed(f"API {fake_langflow.api_key}", "x" * 282 + f"401 with {fake_langflow.api_key}")

    client = make_client()
    job_id = client.submit(fake_langflow.add_flow("leaky", echo_key), "hello")
    with pytest.raises(FlowFailed) as caught:
        client.collect(job_id)
    error = caught.value if act == "collect" else client.status(job_id).error
    assert isinstance(error, FlowFailed)
    assert error.component == "API ***"
    assert fake_langflow.api_key[:6] not in f"{error} {error.cause} {error.excerpt} {error.args}"


def test_output_that_is_missing_for_a_reason_shows_no_secret_of_the_client(
    fake_langflow: FakeLangflow, client: LangflowClient
):
    def echo_key(call: FakeCall) -> str:
        raise VariableMissing(f"MODEL_NAME {'x' * 200}{fake_langflow.api_key * 9}", "")

    with pytest.raises(CompletedWithoutOutput, match="MODEL_NAME") as caught:
        client.collect(client.submit(fake_langflow.add_flow("leaky", echo_key), "hello"))
    assert fake_langflow.api_key[:6] not in str(caught.value)


def test_output_that_is_missing_is_told_though_the_events_can_not_be_read(
    fake_langflow: FakeLangflow, client: LangflowClient
):
    def lack(call: FakeCall) -> str:
        raise VariableMissing("MODEL_NAME", "")

    only_one = {"data": {"nodes": [{"id": "Model-1"}], "edges": []}}
    job_id = client.submit(fake_langflow.add_flow("lacking", lack, flow=only_one), "hello")
    fake_langflow.script(Fault(path=EVENTS, status=404, times=0))
    with pytest.raises(CompletedWithoutOutput) as caught:
        client.collect(job_id)
    assert caught.value.outcome == "failed"


def test_a_failed_job_without_a_reason_is_lost(fake_langflow: FakeLangflow, client: LangflowClient, echo: str):
    job_id = client.submit(echo, "hello")
    body = {"detail": {"code": "JOB_FAILED", "error_detail": None}}
    fake_langflow.script(Fault(path="/workflows", method="GET", status=500, body=body, times=0))
    with pytest.raises(JobLost, match="kept no reason") as caught:
        client.collect(job_id)
    assert caught.value.retryable
