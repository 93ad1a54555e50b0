"""The deadline ends every exchange, however slowly a server or a proxy goes on."""

import contextlib
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.certificates import Certificates
from unit.langflow.conftest import MakeClient, Wait, serving

from dagma.langflow import Access, CallTimeout, LangflowClient, RetryPolicy
from dagma.langflow.http.transport import Request, Transport
from dagma.langflow.http.watched_http import Deadline
from dagma.testing import FakeLangflow, Fault

DEADLINE = 3.0
# Two operations, where the second is given as much time as the first had, take longer than TOO_LATE.
SLOW = 0.7 * DEADLINE
TOO_LATE = 1.5 * DEADLINE
# A TLS record of 16 KB that never ends.
HANDSHAKE_WITHOUT_END = b"\x16\x03\x03\x40\x00" + b"\x02" * 1000
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n"


def saying(*words: bytes, every: float) -> Callable[[socket.socket, Wait], None]:
    """Say one word after the other, and then nothing more."""

    def talk(caller: socket.socket, wait: Wait) -> None:
        for word in words:
            wait(every)
            caller.sendall(word)
        wait(60.0)

    return talk


def dribbling(data: bytes, every: float = 0.1) -> Callable[[socket.socket, Wait], None]:
    """Say one byte after the other."""
    return saying(*(bytes([byte]) for byte in data), every=every)


@contextlib.contextmanager
def the_deadline() -> Iterator[pytest.ExceptionInfo[CallTimeout]]:
    """Expect it to end the block."""
    started = time.monotonic()
    with pytest.raises(CallTimeout, match="The deadline of 3 s passed") as caught:
        yield caught
    assert time.monotonic() - started < TOO_LATE


def run(base_url: str, text: str = "hello", access: Access | None = None) -> None:
    with LangflowClient(base_url, access, timeout=DEADLINE, retry=RetryPolicy(attempts=1)) as client:
        client.run("flow", text)


def test_a_tls_handshake_that_dribbles_ends_at_the_deadline() -> None:
    with serving(dribbling(HANDSHAKE_WITHOUT_END)) as port, the_deadline() as caught:
        run(f"https://127.0.0.1:{port}")
    assert caught.value.outcome == "not_run"


@pytest.mark.parametrize(
    "talk",
    [
        dribbling(ESTABLISHED + b"X-A: " + b"x" * 1000),
        saying(ESTABLISHED + b"\r\n", HANDSHAKE_WITHOUT_END, every=SLOW),
    ],
    ids=["in its answer", "in the handshake behind it"],
)
def test_a_proxy_that_is_slow_ends_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch, talk: Callable[[socket.socket, Wait], None]
) -> None:
    with serving(talk) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with the_deadline() as caught:
            run("https://langflow.example")
    assert caught.value.outcome == "not_run"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_reads_a_large_body_slowly_ends_at_the_deadline(certificates: Certificates, scheme: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)

    def read_slowly(caller: socket.socket, wait: Wait) -> None:
        wait(SLOW)
        with context.wrap_socket(caller, server_side=True) if scheme == "https" else caller as reading:
            while reading.recv(4096):
                wait(0.05)

    with serving(read_slowly) as port, the_deadline() as caught:
        run(f"{scheme}://127.0.0.1:{port}", "x" * 20_000_000, Access(ca_bundle=certificates.authority))
    assert caught.value.outcome == "unknown"


@pytest.mark.parametrize("framing", [b"", b"Transfer-Encoding: chunked\r\n"], ids=["plain", "chunked"])
def test_a_stream_ends_at_the_deadline_whichever_thread_reads_it(framing: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n"
    pieces = [b"1\r\nx\r\n"] * 1000
    with (
        serving(saying(head, *pieces, every=0.05)) as port,
        ThreadPoolExecutor(1) as pool,
        contextlib.closing(Transport(f"http://127.0.0.1:{port}")) as transport,
        the_deadline(),
        transport.stream(Request("GET", "/events"), Deadline.after(DEADLINE)) as reply,
    ):
        assert pool.submit(next, reply.chunks).result()
        pool.submit(list, reply.chunks).result()


def test_a_kept_connection_has_the_time_of_its_next_exchange(
    make_client: MakeClient, fake_langflow: FakeLangflow
) -> None:
    client = make_client(timeout=60.0)
    flow_id = fake_langflow.add_flow("echo")
    client.run(flow_id, "one", timeout=0.5)
    fake_langflow.script(Fault(path="/run", delay=0.7))
    assert client.run(flow_id, "two").answer == "two"


def test_a_call_may_take_for_ever(make_client: MakeClient, fake_langflow: FakeLangflow) -> None:
    flow_id = fake_langflow.add_flow("echo")
    fake_langflow.script(Fault(path="/token", status=200, body={"access_token": "fetched"}))
    client = {"oauth_client_id": "the-client", "oauth_client_secret": "the-secret"}
    access = Access(api_key=fake_langflow.api_key, oauth_token_url=f"{fake_langflow.base_url}/token", **client)
    assert make_client(access=access, timeout=math.inf).run(flow_id, "hello").answer == "hello"
