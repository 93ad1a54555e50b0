"""What is sent, byte for byte, and how HTTP may frame an answer."""

import pytest
from unit.langflow.conftest import closing_server

from dagma.langflow import Access, LangflowClient, RetryPolicy, Unreachable

HEALTHY = b'{"status": "ok"}'


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\n" + HEALTHY,
        b"HTTP/1.0 200 OK\r\nContent-Length: 16\r\n\r\n" + HEALTHY,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + HEALTHY,
    ],
    ids=["HTTP/1.0", "HTTP/1.0 with a length", "100 Continue"],
)
def test_an_answer_is_taken_however_it_is_framed(answer: bytes):
    with closing_server(answer) as (port, _), LangflowClient(f"http://127.0.0.1:{port}") as client:
        assert client.health_check() == {"status": "ok"}


def test_each_header_is_sent_once_and_no_compression_is_asked_for():
    with closing_server(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + HEALTHY) as (port, heard):
        access = Access(api_key="sk-1", headers='{"accept": "text/plain", "X-Tenant": "team-one"}')
        with LangflowClient(f"http://127.0.0.1:{port}", access) as client:
            client.health_check()
    _, *sent = heard[0].decode().lower().split("\r\n")
    ours = sorted(line for line in sent if line.startswith(("accept", "x-")))
    assert ours == ["accept-encoding: identity", "accept: text/plain", "x-api-key: sk-1", "x-tenant: team-one"]


def test_the_path_of_a_request_is_sent_as_it_was_quoted():
    with closing_server() as (port, heard):
        client = LangflowClient(f"http://127.0.0.1:{port}/l\u00e4ng", retry=RetryPolicy(attempts=1))
        with client, pytest.raises(Unreachable):
            client.run("a b?c#d%2F~\u00fc", "hello")
    assert heard[0].startswith(b"POST /l%C3%A4ng/api/v1/run/a%20b%3Fc%23d%252F~%C3%BC HTTP/1.1\r\n")
