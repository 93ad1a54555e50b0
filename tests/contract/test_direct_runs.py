"""Facts about v1 runs and v1 streams, and what the client makes of them."""

import socket
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from contract.conftest import Flows, LangflowServer

from dagma.langflow import (
    BadRequest,
    CallResult,
    CallTimeout,
    Conflict,
    FlowFailed,
    FlowNotFound,
    LangflowClient,
)

FAIL = {"Behave-1": {"fail_with": "The model is away."}}


def test_v1_answers_with_the_text_where_the_design_reads_it(client: LangflowClient, flows: Flows):
    result = client.run(flows.echo, "hello", session_id="contract-session")
    assert result.raw["outputs"][0]["outputs"][0]["results"]["message"]["text"] == "hello"
    assert (result.answer, result.session_id) == ("hello", "contract-session")


@pytest.mark.parametrize("text", ["", "ÄÖÜ 你好 🙂", 'quotes " and \\ and \n newlines', "{}", "x" * 100_000])
def test_texts_arrive_as_they_were_sent(client: LangflowClient, flows: Flows, text: str):
    assert client.run(flows.echo, text).answer == text


@pytest.mark.parametrize(
    "body",
    [
        b'{"input_value": "hello", "tweaks": [1]}',
        b'{"input_value": {"text": "hello"}}',
        b'{"input_value": "\\ud800"}',
    ],
)
def test_v1_runs_what_it_can_not_read_on_an_empty_input_and_says_200(
    langflow_server: LangflowServer, flows: Flows, body: bytes
):
    headers = {"Content-Type": "application/json"}
    response = langflow_server.request("POST", f"/api/v1/run/{flows.echo}", data=body, headers=headers)
    assert response.status_code == 200
    # This is how the client finds out.
    assert response.json()["outputs"][0]["inputs"] == {}
    assert CallResult.from_v1(response.json()).answer == ""


@pytest.mark.parametrize("sent", [b"", b'{"input_value": "hel'])
def test_a_request_whose_sender_dies_in_the_middle_runs_nothing(
    langflow_server: LangflowServer, flows: Flows, sent: bytes
):
    def count_messages() -> int:
        return len(langflow_server.request("GET", "/api/v1/monitor/messages", params={"flow_id": flows.echo}).json())

    messages, address = count_messages(), urlsplit(langflow_server.base_url)
    head = f"POST /api/v1/run/{flows.echo} HTTP/1.1", f"Host: {address.netloc}", f"x-api-key: {langflow_server.api_key}"
    rest = "Content-Type: application/json", "Content-Length: 25", "", ""
    with socket.create_connection((str(address.hostname), address.port or 80)) as connection:
        connection.sendall("\r\n".join([*head, *rest]).encode() + sent)
    # One run more, so that the other one had the time.
    langflow_server.request("POST", f"/api/v1/run/{flows.echo}", json={"input_value": "hello"})
    assert count_messages() == messages + 2, "the question and the answer of the second"


def test_tweaks_of_unknown_components_are_ignored_and_the_client_refuses_them(
    langflow_server: LangflowServer, client: LangflowClient, flows: Flows
):
    tweaks = {"Nobody-1": {"seconds": 1}}
    body = {"input_value": "hello", "tweaks": tweaks}
    response = langflow_server.request("POST", f"/api/v1/run/{flows.behave}", json=body)
    assert response.status_code == 200
    with pytest.raises(BadRequest, match="no component with the id 'Nobody-1'"):
        client.run(flows.behave, "hello", tweaks=tweaks)


def test_tweaks_change_a_run(client: LangflowClient, flows: Flows):
    tweaks = {"Behave-1": {"repeat": 3}}
    assert client.run(flows.behave, "ab", tweaks=tweaks).answer == "ababab"


def test_an_endpoint_name_is_taken_and_a_flow_that_is_not_there_is_404(client: LangflowClient, flows: Flows):
    endpoint_name = client.find_flow(flows.echo).endpoint_name
    assert endpoint_name is not None
    assert client.run(endpoint_name, "hello").answer == "hello"
    for nobody in (str(uuid4()), "no such flow"):
        with pytest.raises(FlowNotFound) as caught:
            client.run(nobody, "hello")
        assert caught.value.outcome == "not_run"


def test_v1_does_not_take_a_display_name(client: LangflowClient, langflow_server: LangflowServer):
    flow_id = str(uuid4())
    name = f"Display name {flow_id}"
    client.upsert_flow({"id": flow_id, "name": name, "endpoint_name": f"e-{flow_id}", "data": None})
    try:
        response = langflow_server.request("POST", f"/api/v1/run/{name}", json={"input_value": "hello"})
        assert response.status_code == 404
    finally:
        client.delete_flow(flow_id)


@pytest.mark.parametrize("way", ["run", "stream"])
@pytest.mark.parametrize(
    ("message", "retryable"), [("The model is away.", False), ("Connection error.", True), ("Key not found", False)]
)
def test_a_component_that_raises_is_one_error_everywhere(
    client: LangflowClient, flows: Flows, way: str, message: str, retryable: bool
):
    with pytest.raises(FlowFailed) as caught:
        list(getattr(client, way)(flows.behave, "hello", tweaks={"Behave-1": {"fail_with": message}}))
    assert caught.value.component == "Behave"
    assert message.removesuffix(".") in str(caught.value)
    assert (caught.value.outcome, caught.value.retryable) == ("failed", retryable)


def test_a_deadline_that_passes_leaves_the_outcome_unknown(client: LangflowClient, flows: Flows):
    with pytest.raises(CallTimeout) as caught:
        client.run(flows.behave, "hello", tweaks={"Behave-1": {"seconds": 3.0}}, timeout=1.0)
    assert caught.value.outcome == "unknown"


def test_a_v1_stream_is_bare_json(langflow_server: LangflowServer, flows: Flows):
    body = {"input_value": "hello"}
    response = langflow_server.request("POST", f"/api/v1/run/{flows.echo}", json=body, params={"stream": "true"})
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert all(line.startswith("{") for line in response.text.splitlines() if line)


def test_a_v1_stream_ends_with_the_result(client: LangflowClient, flows: Flows):
    events = list(client.stream(flows.echo, "hello"))
    assert [event.kind for event in events] == ["message", "message", "finished"]
    assert events[-1].result is not None
    assert events[-1].result.answer == "hello"


def test_a_v1_stream_has_the_tokens_of_a_component_that_streams(client: LangflowClient, flows: Flows):
    events = list(client.stream(flows.behave, "one two three", tweaks={"Behave-1": {"word_by_word": True}}))
    tokens = [event.text for event in events if event.kind == "token"]
    assert len(tokens) >= 3
    assert "".join(token or "" for token in tokens) == "one two three "


def test_a_missing_variable_is_an_empty_field_in_direct_runs(client: LangflowClient, flows: Flows):
    assert client.run(flows.unbound, "hello").answer == "hello"


def test_a_flow_that_asks_a_human_is_refused_by_v1(client: LangflowClient, flows: Flows):
    with pytest.raises(BadRequest, match="Human-in-the-Loop"):
        client.run(flows.approval, "May I?")


@pytest.mark.parametrize("way", ["run", "stream"])
def test_a_direct_run_is_timed_and_has_a_trace(client: LangflowClient, flows: Flows, way: str):
    result = run_directly(client, flows.behave, way)
    assert result.seconds is not None
    assert result.seconds >= 0.2
    traced = client.with_trace(result)
    assert traced.seconds is not None
    assert result.job_id is not None
    with pytest.raises(Conflict):
        client.stop(result.job_id)


def run_directly(client: LangflowClient, flow_id: str, way: str) -> CallResult:
    """Run a flow for a while in one of the ways of a direct call."""
    tweaks = {"Behave-1": {"seconds": 0.2}}
    if way == "run":
        return client.run(flow_id, "hello", tweaks=tweaks)
    (result,) = [event.result for event in client.stream(flow_id, "hello", tweaks=tweaks) if event.result]
    return result


def test_a_run_that_nobody_traced_has_none(client: LangflowClient):
    assert client.trace(str(uuid4())) is None
