"""The HTTP of a fake server: requests recorded, responses sent well or, where a fault says so, badly."""

import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

_FOR_EVER = 3600.0
_JSON = {"Content-Type": "application/json"}
_EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}
_CHUNKED = {"Transfer-Encoding": "chunked"}


@dataclass(frozen=True)
class RecordedRequest:
    """A request that a fake server got.

    Args:
        method: HTTP method.
        path: Path, without the query.
        query: Query parameters; the last of the same name.
        headers: Headers; names in lower case.
        body: Body as it came.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body's JSON, or None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class FakeResponse:
    """What a handler answers.

    Args:
        status: HTTP status.
        body: Sent as JSON; bytes as they are.
        stream: Pieces to send in chunks instead, as they come.
    """

    status: int
    body: Any = None
    stream: Iterator[str] | None = None


@dataclass(frozen=True)
class Fault:
    """One misbehaviour of a fake server, used up by the requests it answers.

    Without `status`, `drop` or `raw` the real answer is sent, in the way that the other fields say.

    Args:
        path: Part of the path of the requests to answer; any by default.
        method: HTTP method of the requests to answer; any by default.
        times: How many requests to answer; 0 for all.
        after_work: Do what was asked for first, such as queue a job, where the real answer is not sent.
        delay: Seconds of silence before the response.
        status: Status to send.
        body: Body to send; what is no bytes or text is sent as JSON.
        headers: Headers to send; they replace those of the same name.
        raw: Bytes to send in place of a whole HTTP response; or what gives them in pieces, with seconds of silence
            between them.
        drop: Close the connection without a response.
        cut_after: Close the connection after so many bytes of the body.
        stall_after: Fall silent after so many bytes of the body, with the connection open.
    """

    path: str = ""
    method: str | None = None
    times: int = 1
    after_work: bool = False
    delay: float = 0.0
    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | Callable[[], Iterable[bytes | float]] | None = None
    drop: bool = False
    cut_after: int | None = None
    stall_after: int | None = None

    def matches(self, method: str, path: str) -> bool:
        """Return whether this answers a request."""
        return self.path in path and self.method in (None, method)


class FakeServer:
    """An HTTP server on a free port of 127.0.0.1, on threads of this process; a context manager.

    Args:
        ssl_context: Speaks TLS, where given.

    Attributes:
        base_url: Its address.
        requests: Every request so far, in order.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._closing = threading.Event()
        self.requests: list[RecordedRequest] = []
        self._http = _HTTPServer(self)
        if ssl_context is not None:
            # The handshake belongs on the thread of its connection, or one silent client would block all others.
            self._http.socket = ssl_context.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
        self.base_url = f"{'https' if ssl_context else 'http'}://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Responses that stall end.
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, request: RecordedRequest) -> FakeResponse:
        """Answer a request that no fault answers. Override it."""
        raise NotImplementedError

    def script(self, *faults: Fault) -> None:
        """Answer the coming requests with faults: each request with the first that matches it and is not used up."""
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """Forget the faults that are left."""
        with self._lock:
            self._faults.clear()

    def record(self, request: RecordedRequest) -> Fault | None:
        """Keep a request, and return the fault that answers it."""
        with self._lock:
            self.requests.append(request)
            for index, fault in enumerate(self._faults):
                if fault.matches(request.method, request.path):
                    if fault.times == 1:
                        del self._faults[index]
                    elif fault.times > 1:
                        self._faults[index] = replace(fault, times=fault.times - 1)
                    return fault
            return None

    def wait(self, seconds: float) -> None:
        """Wait, or until the server closes."""
        self._closing.wait(seconds)


class _RequestHandler(BaseHTTPRequestHandler):
    server: "_HTTPServer"
    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes; Nagle's algorithm would hold the second back for 40 ms.
    disable_nagle_algorithm = True

    def do_any(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            # Its client is gone before the end: no server hands this to what it serves.
            self.close_connection = True
            return
        request = RecordedRequest(
            method=self.command,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
        )
        fault = self.server.fake.record(request)
        if fault is None:
            self._send(self.server.fake.answer(request))
        else:
            self.close_connection = True
            self._misbehave(fault, request)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_any  # noqa: N815 (the names that http.server calls)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name that http.server gives)
        """Say nothing: the requests are recorded."""

    def _send(self, response: FakeResponse) -> None:
        if response.stream is None:
            content = response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
            body = b"" if response.status == 204 else content
            self.wfile.write(self._head(response.status, {**_JSON, "Content-Length": str(len(body))}) + body)
        else:
            self.wfile.write(self._head(response.status, {**_EVENTS, **_CHUNKED}))
            for piece in response.stream:
                self.wfile.write(_chunk(piece.encode()))
            self.wfile.write(_chunk(b""))

    def _misbehave(self, fault: Fault, request: RecordedRequest) -> None:
        sends_real = fault.status is None and fault.raw is None and not fault.drop
        real = self.server.fake.answer(request) if fault.after_work or sends_real else None
        self.server.fake.wait(fault.delay)
        if fault.drop:
            return
        if fault.raw is not None:
            for piece in [fault.raw] if isinstance(fault.raw, bytes) else fault.raw():
                if isinstance(piece, bytes):
                    self.wfile.write(piece)
                else:
                    self.server.fake.wait(piece)
            return
        body = _body(fault, real)
        # Announced, or a client that keeps the connection may send its next request into the closing of it.
        close = {"Connection": "close"}
        headers = {**_JSON, **close, "Content-Length": str(len(body)), **fault.headers}
        self.wfile.write(self._head(fault.status or (real.status if real else 200), headers))
        end = fault.stall_after if fault.cut_after is None else fault.cut_after
        self.wfile.write(body[:end])
        if fault.stall_after is not None:
            self.server.fake.wait(_FOR_EVER)

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Odd"
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1")


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    # Callers arrive in bursts in tests of concurrency.
    request_queue_size = 128

    def __init__(self, fake: FakeServer) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", 0), _RequestHandler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up in the middle or refuse a certificate, which is what tests do."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def _body(fault: Fault, real: FakeResponse | None) -> bytes:
    if fault.status is None and fault.body is None and real is not None:
        return "".join(real.stream).encode() if real.stream is not None else json.dumps(real.body).encode()
    if isinstance(fault.body, bytes):
        return fault.body
    if isinstance(fault.body, str):
        return fault.body.encode()
    return b"" if fault.body is None else json.dumps(fault.body).encode()
