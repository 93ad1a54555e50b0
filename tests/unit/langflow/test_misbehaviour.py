"""Servers that misbehave: each way is a typed error, within the deadline, in bounded memory, and runs no flow twice."""

import gzip
import json
import time
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from unit.langflow.conftest import IMPATIENT, MakeClient, dribbled, without_end

from dagma.langflow import (
    BadRequest,
    CallTimeout,
    CompletedWithoutOutput,
    Conflict,
    FlowFailed,
    FlowNotFound,
    Forbidden,
    JobNotFound,
    LangflowError,
    MalformedResponse,
    RateLimited,
    RedirectRefused,
    ServerError,
    Unauthorized,
    Unreachable,
)
from dagma.testing import FakeLangflow, Fault

# Far above the deadline of 2 s of a client that is impatient: this is about hanging, not about speed.
HANGING = 20.0
MEGABYTE = 1024 * 1024

STATUSES: dict[int, type[LangflowError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: FlowNotFound,
    405: BadRequest,
    408: CallTimeout,
    409: Conflict,
    413: BadRequest,
    422: BadRequest,
    429: RateLimited,
    500: ServerError,
    501: ServerError,
    502: ServerError,
    503: ServerError,
    504: CallTimeout,
    599: ServerError,
}
A_DETAIL = {"detail": "It did not work."}
BODIES: dict[str, Any] = {
    "nothing": b"",
    "html": "<html><body>Bad luck</body></html>",
    "a list": [1, 2, 3],
    "a detail of null": {"detail": None},
    "a detail that is a list": {"detail": [{"msg": "Field required"}]},
    "a detail that is a broken string of JSON": {"detail": '{"message": '},
    "half of its JSON": '{"detail": "It did n',
    "no UTF-8": b'{"detail": "\xff\xfe\x80"}',
    "JSON nested too deeply": "[" * 100_000,
    "a megabyte": "x" * MEGABYTE,
}

GOOD = {
    "session_id": "s",
    "outputs": [{"inputs": {"input_value": "hello"}, "outputs": [{"results": {"message": {"text": "hello"}}}]}],
}
WRONG_ANSWERS: dict[str, tuple[Any, type[LangflowError]]] = {
    "no body": (b"", MalformedResponse),
    "a login page": ("<html>Please log in</html>", MalformedResponse),
    "null": ("null", MalformedResponse),
    "a list": ("[]", MalformedResponse),
    "an empty object": ({}, MalformedResponse),
    "a detail inside": ({"detail": "It did not work."}, MalformedResponse),
    "half of its JSON": ('{"session_id": "s", "outputs": [', MalformedResponse),
    "NaN where an object belongs": ("NaN", MalformedResponse),
    "JSON nested too deeply": ("[" * 100_000, MalformedResponse),
    "no UTF-8": (b'{"outputs": "\xff"}', MalformedResponse),
    "UTF-16": (json.dumps(GOOD).encode("utf-16"), MalformedResponse),
    "outputs that are a text": ({"outputs": "hello"}, MalformedResponse),
    "no outputs": ({"outputs": []}, CompletedWithoutOutput),
    "outputs of null": ({"outputs": [None]}, CompletedWithoutOutput),
    "outputs without results": (
        {"outputs": [{"inputs": {"input_value": "hello"}, "outputs": []}]},
        CompletedWithoutOutput,
    ),
    "an input that it ignored": (
        {"outputs": [{"inputs": {}, "outputs": GOOD["outputs"][0]["outputs"]}]},
        MalformedResponse,
    ),
    "an error message as answer": (
        {"outputs": [{"outputs": [{"results": {"message": {"text": "boom", "category": "error"}}}]}]},
        FlowFailed,
    ),
    "a message that is marked as an error": (
        {"outputs": [{"outputs": [{"results": {"message": {"text": "boom", "error": True}}}]}]},
        FlowFailed,
    ),
}

CHUNKED = "Transfer-Encoding: chunked\r\n"
CHUNK = f"HTTP/1.1 200 OK\r\n{CHUNKED}\r\n2\r\n{{}}\r\n".encode()
MOMENTS: dict[str, tuple[Fault, type[LangflowError]]] = {
    "closes before the response": (Fault(drop=True), Unreachable),
    "closes after the status line": (Fault(raw=b"HTTP/1.1 200 OK\r\n"), MalformedResponse),
    "closes in the middle of the headers": (Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Le"), MalformedResponse),
    "closes before the body": (Fault(cut_after=0), Unreachable),
    "closes in the middle of the body": (Fault(cut_after=20), Unreachable),
    "closes between two chunks": (Fault(raw=CHUNK), Unreachable),
    "is silent": (Fault(delay=HANGING), CallTimeout),
    "stalls before the body": (Fault(stall_after=0), CallTimeout),
    "stalls in the middle of the body": (Fault(stall_after=20), CallTimeout),
    "stalls between two chunks": (Fault(raw=lambda: [CHUNK, HANGING]), CallTimeout),
    "dribbles its headers": (Fault(raw=dribbled(b"HTTP/1.1 200 OK\r\n", 0.3)), CallTimeout),
    "dribbles a body without end": (
        Fault(raw=dribbled(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 10_000, 0.1)),
        CallTimeout,
    ),
    "sends headers without end": (Fault(raw=b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 5000), MalformedResponse),
    "sends a header of 10 MB": (Fault(raw=b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 10 * MEGABYTE), MalformedResponse),
    "sends a body without end": (Fault(raw=without_end(b"x" * 65_536)), MalformedResponse),
    "sends chunks without end": (
        Fault(raw=without_end(b"10000\r\n" + b"x" * 65_536 + b"\r\n", headers=CHUNKED)),
        MalformedResponse,
    ),
    "announces a chunk of a terabyte": (
        Fault(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n" + b"x" * 10 * MEGABYTE),
        MalformedResponse,
    ),
    "announces a negative length": (
        Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"),
        MalformedResponse,
    ),
    "announces more than it sends": (Fault(status=200, body="{}", headers={"Content-Length": "9"}), Unreachable),
    "announces less than it sends": (Fault(status=200, body=GOOD, headers={"Content-Length": "9"}), MalformedResponse),
    "sends a chunk that is none": (
        Fault(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"),
        Unreachable,
    ),
    "speaks no HTTP": (Fault(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), MalformedResponse),
    "sends a status that is no number": (Fault(raw=b"HTTP/1.1 OK\r\n\r\n"), MalformedResponse),
    "sends no content": (Fault(raw=b"HTTP/1.1 204 No Content\r\n\r\n"), MalformedResponse),
    "sends part of the content": (Fault(status=206, body='{"outputs": '), MalformedResponse),
    "compresses unasked": (
        Fault(status=200, body=gzip.compress(json.dumps(GOOD).encode()), headers={"Content-Encoding": "gzip"}),
        MalformedResponse,
    ),
}


def call(
    fake: FakeLangflow, make_client: MakeClient, flow_id: str, fault: Fault, *, hangs: bool = False
) -> LangflowError:
    """Run a flow on a server that misbehaves for ever, and return the error after the checks that hold for all."""
    options = {"timeout": IMPATIENT} if hangs else {}
    client = make_client(max_body_bytes=2 * MEGABYTE, **options)
    fake.script(replace(fault, path="/api/v1/run", times=0))
    tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(LangflowError) as caught:
            client.run(flow_id, "hello")
        if hangs:
            assert time.monotonic() - started < HANGING
        assert tracemalloc.get_traced_memory()[1] < 40 * MEGABYTE
    finally:
        tracemalloc.stop()
    error = caught.value
    assert len(error.excerpt) <= 500
    assert fake.api_key not in f"{error} {error.excerpt} {error!r}"
    sent = [request for request in fake.requests if "/run/" in request.path]
    if error.outcome != "not_run":
        assert len(sent) == 1, "A flow that may have run was sent again."
    return error


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *(pytest.param(status, A_DETAIL, id=f"{status}") for status in STATUSES),
        *(pytest.param(500, body, id=f"500 with {name}") for name, body in BODIES.items()),
    ],
)
def test_an_error_status_is_its_error_whatever_the_body(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, status: int, body: Any
):
    error = call(fake_langflow, make_client, echo, Fault(status=status, body=body))
    assert type(error) is STATUSES[status]
    assert error.status == status


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (422, {"detail": [{"loc": ["body", "tweaks"], "msg": "Input should be an object"}]}, "Input should be an obj"),
        (413, "<html>nginx</html>", "Request Entity Too Large"),
        (599, "", "no reason given"),
    ],
)
def test_an_error_status_says_why(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, status: int, body: Any, said: str
):
    assert f"({said}" in call(fake_langflow, make_client, echo, Fault(status=status, body=body)).cause


@pytest.mark.parametrize(("body", "expected"), WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_a_200_that_is_no_answer_is_an_error(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, body: Any, expected: type[LangflowError]
):
    error = call(fake_langflow, make_client, echo, Fault(status=200, body=body))
    assert type(error) is expected
    assert error.outcome != "not_run"
    assert bool(error.excerpt) is (body != b"")


CONTENT_TYPES = ["text/html", "application/octet-stream", "", "nonsense", "image/png; a=b"]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_an_answer_is_taken_under_any_content_type(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, content_type: str
):
    fake_langflow.script(Fault(status=200, body=GOOD, headers={"Content-Type": content_type}))
    assert make_client().run(echo, "hello").raw == GOOD


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_a_body_that_is_no_json_is_an_error_under_any_content_type(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, content_type: str
):
    fault = Fault(status=200, body=b"\x89PNG", headers={"Content-Type": content_type})
    assert isinstance(call(fake_langflow, make_client, echo, fault), MalformedResponse)


@pytest.mark.parametrize(("fault", "expected"), MOMENTS.values(), ids=MOMENTS)
def test_a_response_that_goes_wrong_on_its_way_is_an_error(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, fault: Fault, expected: type[LangflowError]
):
    error = call(fake_langflow, make_client, echo, fault, hangs=expected is CallTimeout)
    assert type(error) is expected
    assert error.outcome == "unknown"


@pytest.mark.parametrize(
    "location",
    [
        "https://user:hidden@elsewhere.example/path?token=hidden",
        "//elsewhere.example/",
        "/login?next=hidden",
        "",
        "http://[broken",
        "\x00",
    ],
)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_refused(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, status: int, location: str
):
    error = call(fake_langflow, make_client, echo, Fault(status=status, headers={"Location": location}))
    assert isinstance(error, RedirectRefused)
    assert error.cause.startswith(f"{fake_langflow.base_url} answered with {status}, a redirect to ")
    assert (error.outcome, error.retryable) == ("not_run", False)
    assert "hidden" not in f"{error} {error.excerpt}"
    assert len([request for request in fake_langflow.requests if "/run/" in request.path]) == 1


def test_a_redirect_with_a_body_without_end_is_refused_unread(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
):
    fault = Fault(raw=without_end(b"x" * 65_536, 302, "Location: /elsewhere\r\n"))
    assert isinstance(call(fake_langflow, make_client, echo, fault), RedirectRefused)


def test_an_answer_after_a_refusal_is_had_without_a_second_run(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
):
    fake_langflow.script(
        Fault(status=429, headers={"Retry-After": "0"}), Fault(status=503, headers={"Retry-After": "0"})
    )
    assert make_client().run(echo, "hello").outputs
    assert len(fake_langflow.requests) == 3


@pytest.mark.parametrize("code", ["SERVICE_BUSY", "QUEUE_SERVICE_UNAVAILABLE", "REQUEST_OVERRIDES_UNAVAILABLE"])
def test_a_503_that_langflow_explains_is_sent_again(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, code: str
):
    fake_langflow.script(Fault(status=503, body={"detail": {"code": code}}))
    assert make_client().run(echo, "hello").answer == "hello"


@pytest.mark.parametrize(
    ("code", "headers"),
    [("DATABASE_ERROR", {}), ("DATABASE_ERROR", {"Retry-After": "0"}), (None, {})],
    ids=["database", "database with a wait", "none"],
)
def test_a_503_that_may_follow_a_run_is_not_sent_again(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, code: str | None, headers: dict[str, str]
):
    fake_langflow.script(Fault(status=503, headers=headers, body={"detail": {"code": code}}))
    with pytest.raises(ServerError) as caught:
        make_client().run(echo, "hello")
    assert caught.value.outcome == "unknown"
    assert len(fake_langflow.requests) == 1


def test_a_run_that_was_done_before_the_connection_broke_is_not_sent_again(
    fake_langflow: FakeLangflow, make_client: MakeClient
):
    calls: list[str] = []
    flow_id = fake_langflow.add_flow("counted", lambda call: calls.append(call.input_value) or "done")
    fake_langflow.script(Fault(after_work=True, drop=True))
    with pytest.raises(Unreachable) as caught:
        make_client().run(flow_id, "hello")
    assert (caught.value.outcome, calls) == ("unknown", ["hello"])


def graph_error(reason: str) -> dict[str, str]:
    """The body of a 500 for a flow that failed."""
    return {"detail": json.dumps({"message": f"Error running graph: {reason}"})}


PROVIDERS = {"detail": {"error_code": "rate_limited", "message": "Slow down.", "retryable": True}}
FILES = {"detail": "Error running graph: Error building Component Files: \n\nreport.pdf not found"}
STARTING = "FATAL: the database system is starting up"
CLOSED = "(psycopg.OperationalError) consuming input failed: server closed the connection unexpectedly"
WHAT_BODIES_TELL: dict[str, tuple[int, Any, type[LangflowError], str, bool]] = {
    **{f"a provider's {status}": (status, PROVIDERS, FlowFailed, "failed", True) for status in (401, 403, 429, 400)},
    "no connection": (500, graph_error("Connection error."), FlowFailed, "failed", True),
    "a provider's overload": (500, graph_error("Error code: 503 - overloaded"), FlowFailed, "failed", True),
    "a database that closes": (500, graph_error(CLOSED), FlowFailed, "failed", True),
    "a database that starts": (500, graph_error(STARTING), FlowFailed, "failed", True),
    "no table": (500, graph_error("(sqlite3.OperationalError) no such table: x"), FlowFailed, "failed", False),
    "a component's 404": (404, FILES, FlowFailed, "failed", False),
    "a key that can't be checked": (403, {"detail": "API key authentication failed"}, ServerError, "not_run", True),
    "a gateway's message": (500, {"message": "Upstream reset"}, ServerError, "unknown", True),
}


@pytest.mark.parametrize("case", WHAT_BODIES_TELL)
def test_a_body_tells_whose_error_it_is_and_whether_it_may_pass(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str, case: str
):
    status, body, expected, outcome, retryable = WHAT_BODIES_TELL[case]
    error = call(fake_langflow, make_client, echo, Fault(status=status, body=body))
    assert (type(error), error.outcome, error.retryable) == (expected, outcome, retryable)
    assert getattr(error, "component", None) == ("Files" if body is FILES else None)


def test_a_404_without_the_wrapping_detail_is_read(fake_langflow: FakeLangflow, make_client: MakeClient, echo: str):
    fake_langflow.script(Fault(path="/workflows", status=404, body={"code": "JOB_NOT_FOUND", "message": "No job."}))
    with pytest.raises(JobNotFound):
        make_client().stop(echo)


def test_an_echoed_key_is_redacted(fake_langflow: FakeLangflow, make_client: MakeClient, echo: str):
    body = {"detail": f"Header x-api-key: {fake_langflow.api_key} is odd"}
    error = call(fake_langflow, make_client, echo, Fault(status=400, body=body))
    assert "***" in error.excerpt
    assert "***" in str(error)


@pytest.mark.parametrize("before", ["", "x" * 290], ids=["whole", "across the cut"])
@pytest.mark.parametrize("way", ["run", "stream"])
def test_a_key_that_a_flow_fails_with_is_redacted(
    fake_langflow: FakeLangflow, make_client: MakeClient, way: str, before: str
):
    key = fake_langflow.api_key
    message = {
        "text": f"Error building Component Key {key}: {before} {key}",
        "category": "error",
        "properties": {"source": {"display_name": f"Key {key}"}},
    }
    result = {"outputs": [{"outputs": [{"results": {"message": message}}]}]}
    bodies = {
        "run": result,
        "stream": json.dumps({"event": "error", "data": message}) + "\n\n",
    }
    fake_langflow.script(Fault(method="POST", status=200, body=bodies[way]))
    with pytest.raises(FlowFailed) as caught:
        list(getattr(make_client(), way)(fake_langflow.add_flow("echo"), "hello"))
    assert caught.value.component == "Key ***"
    assert key[:6] not in f"{caught.value} {caught.value.cause} {caught.value.excerpt} {caught.value.args}"


def test_a_key_that_the_end_of_a_stream_fails_with_is_redacted(
    fake_langflow: FakeLangflow, make_client: MakeClient, echo: str
):
    message = {"text": "x" * 290 + fake_langflow.api_key, "category": "error"}
    result = {"outputs": [{"outputs": [{"results": {"message": message}}]}]}
    end = json.dumps({"event": "end", "data": {"result": result}}) + "\n\n"
    fake_langflow.script(Fault(path="/run", status=200, body=end))
    with pytest.raises(FlowFailed) as caught:
        list(make_client().stream(echo, "hello"))
    assert fake_langflow.api_key[:6] not in str(caught.value)


@pytest.mark.parametrize("ask", ["health_check", "version", "list_flows"])
def test_what_is_not_found_and_is_no_flow_is_looked_for_elsewhere(
    fake_langflow: FakeLangflow, make_client: MakeClient, ask: str
):
    fake_langflow.script(Fault(status=404))
    with pytest.raises(FlowNotFound, match="Check that the base URL is Langflow's"):
        getattr(make_client(), ask)()
