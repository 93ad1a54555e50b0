"""What errors quote of a response."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.langflow.conftest import MakeClient

from dagma.langflow import (
    Access,
    CompletedWithoutOutput,
    FlowFailed,
    LangflowClient,
    LangflowError,
    MalformedResponse,
    Unreachable,
)
from dagma.langflow.redaction import Redactor
from dagma.testing import FakeLangflow, Fault

RUN = "/api/v1/run"
EVENT = json.dumps({"event": "error", "data": {"text": "It did not work."}})
UNFINISHED = json.dumps({"event": "token", "data": {"chunk": "half an ans"}})


def cut_off(body: bytes) -> Fault:
    return Fault(path=RUN, raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + body)


def test_a_body_that_breaks_off_is_quoted_as_far_as_it_came(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str
):
    fake_langflow.script(cut_off(b'{"outputs": ['))
    with pytest.raises(Unreachable) as caught:
        client.run(echo, "hello")
    assert caught.value.excerpt == '{"outputs": ['


def test_the_half_of_a_secret_is_not_quoted(fake_langflow: FakeLangflow, client: LangflowClient, echo: str):
    half = fake_langflow.api_key[: len(fake_langflow.api_key) // 2]
    fake_langflow.script(cut_off(f"No such key: {half}".encode()))
    with pytest.raises(Unreachable) as caught:
        client.run(echo, "hello")
    assert caught.value.excerpt == "No such key: "


@given(before=st.text("s3cr3t-k \ufffd", max_size=20), length=st.integers(min_value=1, max_value=7))
def test_a_cut_leaves_no_half_of_a_secret(before: str, length: int):
    redactor = Redactor(["s3cr3t-k"])
    excerpt = redactor.excerpt(before + "s3cr3t-k"[:length], is_cut=True)
    assert redactor.excerpt(before).startswith(excerpt)


def test_a_body_that_is_too_large_is_quoted(fake_langflow: FakeLangflow, make_client: MakeClient, echo: str):
    fake_langflow.script(Fault(path=RUN, status=200, body="x" * 5000))
    with pytest.raises(MalformedResponse, match="larger than 1000 bytes") as caught:
        make_client(max_body_bytes=1000).run(echo, "hello")
    assert caught.value.excerpt == "x" * 500


@pytest.mark.parametrize(
    ("body", "expected"),
    [(EVENT, FlowFailed), (UNFINISHED, MalformedResponse), ("no JSON", MalformedResponse)],
    ids=["an error", "no end", "no JSON"],
)
def test_a_stream_that_fails_is_quoted(
    fake_langflow: FakeLangflow, client: LangflowClient, echo: str, body: str, expected: type[LangflowError]
):
    fake_langflow.script(Fault(path=RUN, status=200, body=body))
    with pytest.raises(expected) as caught:
        list(client.stream(echo, "hello"))
    assert caught.value.excerpt == body


def test_a_job_without_output_is_quoted(fake_langflow: FakeLangflow, client: LangflowClient, echo: str):
    job_id = client.submit(echo, "hello", idempotency_key="key")
    body: dict[str, Any] = {
        "job_id": job_id,
        "status": "completed",
        "output": {"reason": "none", "text": None},
        "outputs": {},
    }
    fake_langflow.script(Fault(method="GET", path="/api/v2/workflows", status=200, body=body))
    with pytest.raises(CompletedWithoutOutput) as caught:
        client.collect(job_id)
    assert json.loads(caught.value.excerpt) == body


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_flow_without_a_name_is_quoted(fake_langflow: FakeLangflow, client: LangflowClient, echo: str, method: str):
    fake_langflow.script(Fault(path="/api/v1/flows", status=200, body={"id": echo}))
    with pytest.raises(MalformedResponse) as caught:
        client.find_flow(echo) if method == "GET" else client.upsert_flow({"id": echo, "name": "echo"})
    assert json.loads(caught.value.excerpt) == {"id": echo}


def test_what_a_token_endpoint_sends_is_not_quoted(fake_langflow: FakeLangflow, make_client: MakeClient, echo: str):
    broken_off = b'HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{"access_token": "fresh-token'
    fake_langflow.script(Fault(path="/oauth/token", raw=broken_off, times=0))
    access = Access(
        oauth_token_url=f"{fake_langflow.base_url}/oauth/token",
        oauth_client_id="the-client",
        oauth_client_secret="the-secret",
    )
    with pytest.raises(LangflowError) as caught:
        make_client(access=access).run(echo, "hello")
    assert caught.value.excerpt == ""


VALUE = "sk-the-model's-own-key"
REPEATED = {"detail": [{"type": "value_error", "loc": ["body", "value"], "msg": f"Not {VALUE}", "input": VALUE}]}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path="/variables", status=422, body=REPEATED),
        Fault(path="/variables", status=500, body=f"<pre>{VALUE}</pre>"),
        Fault(path="/variables", status=201, body=[VALUE]),
        Fault(path="/variables", raw=b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n" + VALUE.encode()),
    ],
    ids=["422", "500", "list", "cut off"],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_the_value_of_a_variable_is_a_secret_that_no_error_repeats(
    fake_langflow: FakeLangflow, client: LangflowClient, method: str, fault: Fault
):
    if method == "PATCH":
        client.set_variable("KEY", "old", kind="Credential")
    fake_langflow.script(replace(fault, method=method, times=0))
    with pytest.raises(LangflowError) as caught:
        client.set_variable("KEY", VALUE, kind="Credential")
    assert VALUE[:6] not in f"{caught.value} {caught.value.excerpt}"
    assert caught.value.excerpt


def test_a_value_is_no_secret_of_later_requests(fake_langflow: FakeLangflow, client: LangflowClient, echo: str):
    client.set_variable("MODEL", "hello", kind="Generic")
    fake_langflow.script(cut_off(b'{"outputs": "hello'))
    with pytest.raises(Unreachable) as caught:
        client.run(echo, "hello")
    assert caught.value.excerpt == '{"outputs": "hello'
