"""What a server or a caller did before must not become part of the next exchange, nor of what is told of it."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from harness.certificates import Certificates
from unit.langflow.conftest import Wait, serving

from dagma.langflow import CallTimeout, LangflowError, Unreachable
from dagma.langflow.http.tls import tls_context
from dagma.langflow.http.transport import Request, Transport
from dagma.langflow.http.watched_http import Deadline

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@contextlib.contextmanager
def transport_to(port: int, tls: Callable[[], ssl.SSLContext] | None = None) -> Iterator[Transport]:
    scheme = "https" if tls else "http"
    with contextlib.closing(Transport(f"{scheme}://127.0.0.1:{port}", tls=tls or tls_context)) as transport:
        yield transport


def answer(transport: Transport, path: str, payload: object = None) -> bytes:
    return transport.exchange(Request("POST", path, payload=payload), Deadline.after(20.0)).body


def head(caller: socket.socket) -> bytes:
    """Read one request without a body, and return its path."""
    said = b""
    while b"\r\n\r\n" not in said:
        if not (more := caller.recv(65_536)):
            raise OSError("The caller has hung up.")
        said += more
    return said.split()[1]


@pytest.mark.parametrize("notice", [b"102 Processing", b"103 Early Hints\r\nLink: </a>"], ids=["102", "103"])
def test_a_notice_before_the_answer_is_not_taken_for_it(notice: bytes) -> None:
    def notify(caller: socket.socket, wait: Wait) -> None:
        while path := head(caller):
            caller.sendall(b"HTTP/1.1 " + notice + b"\r\n\r\n")
            wait(0.2)
            caller.sendall(OK % len(path) + path)

    with serving(notify) as port, transport_to(port) as transport:
        assert [answer(transport, path) for path in ("/one", "/two")] == [b"/one", b"/two"]


def test_what_a_server_says_beyond_its_answer_is_not_taken_for_the_next(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)

    def say_too_much(caller: socket.socket, wait: Wait) -> None:
        with context.wrap_socket(caller, server_side=True) as talking:
            while path := head(talking):
                talking.sendall(OK % len(path))
                wait(0.1)  # in a record of its own, which is decrypted as a whole
                talking.sendall(path + OK % 5 + b"wrong")

    with (
        serving(say_too_much) as port,
        transport_to(port, partial(tls_context, ca_bundle=certificates.authority)) as transport,
    ):
        assert [answer(transport, path) for path in ("/one", "/two")] == [b"/one", b"/two"]


def test_a_body_may_take_longer_to_send_than_a_connection_to_stand() -> None:
    def read_late(caller: socket.socket, wait: Wait) -> None:
        wait(1.5)
        left = 20_000_000
        while left > 0:
            left -= len(caller.recv(1_000_000))
        caller.sendall(OK % 4 + b"read")

    with serving(read_late) as port, transport_to(port) as transport:
        assert answer(transport, "/files", "x" * 20_000_000) == b"read"


def test_an_error_that_is_handled_meanwhile_is_no_cause_of_the_next() -> None:
    def reset(caller: socket.socket, _wait: Wait) -> None:
        head(caller)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    with serving(reset) as port, transport_to(port) as transport:
        for handled in (TimeoutError("timed out"), ssl.SSLError(1, "tlsv13 alert certificate required")):
            try:
                raise CallTimeout("The server was silent.") from handled
            except LangflowError:
                with pytest.raises(Unreachable) as caught:
                    answer(transport, "/run")
            assert caught.value.outcome == "unknown"
