"""Connections that end at a deadline and that know whether a request has left.

urllib3 bounds each socket operation, not their sum: a server that sends a byte a second, in its headers or its body,
would hold its caller for ever. And it can't tell a request that was never sent from one whose connection broke later,
which decides whether a flow may have run. A `Watch` knows the deadline of an exchange, and is told of the first byte
sent. Before each operation the socket's time-out is set to what is left until the deadline. A TLS handshake and
`sendall` are one operation each.

Three things can take longer: the look-up of the server's name, which only the system's resolver bounds; each further
address of that name, which has the time to connect in for itself; and TLS through a proxy that is itself reached over
TLS, where each read within a handshake or a record is an operation of its own.
"""

import contextlib
import http.client
import io
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from requests.utils import get_environ_proxies, select_proxy
from urllib3 import PoolManager, ProxyManager, make_headers
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from dagma.langflow.http.connection_settings import checked_address

# Langflow closes a connection that has been idle for 2 s under gunicorn, as in its image; uvicorn alone does after 5 s.
LONGEST_IDLE_SECONDS = 1.5
# 30 years: sockets and locks take no time-out that is much longer, such as infinity.
_LONGEST_SECONDS = 1e9

_current: ContextVar["Watch | None"] = ContextVar("dagma_langflow_watch", default=None)


@dataclass(frozen=True)
class Deadline:
    """A moment of `time.monotonic()`, shared by the attempts, waits and reads of an operation.

    `seconds` is the time that was given, for messages.
    """

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline that lies `seconds` ahead."""
        return cls(time.monotonic() + min(seconds, _LONGEST_SECONDS), seconds)

    def at_most(self, other: "Deadline") -> "Deadline":
        """Return the earlier of two deadlines."""
        return min(self, other, key=lambda deadline: deadline.at)

    def remaining(self) -> float:
        """Return the seconds left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    def passed(self) -> bool:
        """Return whether no time is left."""
        return self.remaining() <= 0.0


@dataclass
class Watch:
    """Watches one exchange: when it ends, and whether a byte of the request may have left this machine."""

    deadline: Deadline
    sent: bool = False

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make this the watch of the connections and responses that this thread uses."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


def seconds_left() -> float:
    """Return the seconds left to the exchange that this thread is in; infinite outside of one."""
    watch = _current.get()
    return math.inf if watch is None else watch.deadline.remaining()


def _bound(sock: socket.socket, longest: float | None, left: float) -> None:
    """Let the next operation of a socket take no longer than what is left.

    Raises:
        TimeoutError: Nothing is left.
    """
    if left <= 0:
        raise TimeoutError
    seconds = min(longest or math.inf, left)
    sock.settimeout(None if seconds == math.inf else seconds)


class _BoundedReader(io.RawIOBase):
    """Reads from a socket until a deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._silence = sock.gettimeout()
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        _bound(self._sock, self._silence, self._deadline.remaining())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response that is read until the deadline of the exchange it began in, whoever reads it."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if (watch := _current.get()) is not None:
            self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock, watch.deadline))

    def begin(self) -> None:
        super().begin()
        # http.client skips 100 only, and takes other notices, such as 103, for the answer that is still to come.
        while http.HTTPStatus.SWITCHING_PROTOCOLS < self.status < http.HTTPStatus.OK:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _WatchedConnection(HTTPConnection):
    """A connection that tells the current watch what it sends, and keeps to the time that is left."""

    response_class = _Response
    _is_connecting = False

    def connect(self) -> None:
        self._is_connecting = True
        try:
            super().connect()
        finally:
            self._is_connecting = False

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        # A TLS handshake may follow, with the server or with a proxy.
        _bound(sock, self.timeout, seconds_left())
        return sock

    def _tunnel(self) -> None:
        super()._tunnel()
        # The TLS handshake with the server follows.
        _bound(self.sock, self.timeout, seconds_left())

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        # The time to connect in does not bound a body, which may take long to send. A proxy is asked for its tunnel
        # while connecting: nothing of the request is in that.
        _bound(self.sock, self.timeout if self._is_connecting else None, seconds_left())
        if not self._is_connecting and (watch := _current.get()) is not None:
            watch.sent = True
        super().send(data)


class _WatchedTLSConnection(_WatchedConnection, HTTPSConnection):
    """The same over TLS."""


class _WatchedPool(HTTPConnectionPool):
    """Keeps connections, but none that has been idle for so long that the server may be closing it.

    A request that meets the server's close on its way is lost, and nobody can tell whether it was read: a flow that
    may have run must not be sent again. Nor is one kept that holds more than the last answer: it would be taken for the
    next. What the system holds urllib3 sees, and not what TLS has decrypted already.
    """

    ConnectionCls = _WatchedConnection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)

    def _get_conn(self, timeout: float | None = None) -> Any:
        conn: Any = super()._get_conn(timeout)
        is_old = time.monotonic() - getattr(conn, "idle_since", math.inf) > LONGEST_IDLE_SECONDS
        if is_old or (isinstance(conn.sock, ssl.SSLSocket) and conn.sock.pending()):
            # It connects anew with its next request.
            conn.close()
        return conn


class _WatchedTLSPool(_WatchedPool, HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = _WatchedTLSConnection


_POOLS = {"http": _WatchedPool, "https": _WatchedTLSPool}


def watched_pools(base_url: str, tls: Callable[[], ssl.SSLContext]) -> PoolManager:
    """Make pools of watched connections to one server; nothing is opened yet.

    The environment may name a proxy, in the variables that requests reads. It is read here, once. `tls` is called only
    where the server or the proxy speaks it: loading the authorities takes a while.

    Raises:
        ValueError: The environment's proxy can't be used. The message shows nothing of it, since it may hold a login.
    """
    # Callers share one client between threads; below this many, connections are kept.
    options: dict[str, Any] = {"maxsize": 64}
    proxy = select_proxy(base_url, get_environ_proxies(base_url))
    if any(url.lower().startswith("https:") for url in (base_url, proxy or "")):
        options["ssl_context"] = tls()
    pools = _pools_through(proxy, options) if proxy else PoolManager(**options)
    pools.pool_classes_by_scheme = _POOLS
    return pools


def _pools_through(proxy: str, options: Mapping[str, Any]) -> ProxyManager:
    url = proxy if "://" in proxy else f"http://{proxy}"
    parts = checked_address("The proxy that the environment names", url, "http://host:port")
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    headers = make_headers(proxy_basic_auth=login)
    return ProxyManager(url, proxy_headers=headers, proxy_ssl_context=options.get("ssl_context"), **options)
