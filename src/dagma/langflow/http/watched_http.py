"""Connections that can be cut at a deadline and that know whether a request has left.

urllib3 bounds each socket operation, not their sum: a server that dribbles a byte a second, in the TLS handshake, the
headers or the body, holds its caller for ever. And it can't tell a request that was never sent from one whose
connection broke later, which decides whether a flow may have run. A `Watch` does both: it shuts the socket down when
its time is over, and it is told of the first byte sent. One thread watches the times of all exchanges: to start one for
each would take as long as a small exchange. Only the look-up of the server's name is bounded otherwise, by the system's
resolver.
"""

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3 import PoolManager, ProxyManager, make_headers
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from dagma.langflow.errors import CallTimeout
from dagma.langflow.http.connection_settings import TLS, check_authorities, checked_address

# Langflow closes a connection that has been idle for 2 s under gunicorn, as in its image; uvicorn alone does after 5 s.
LONGEST_IDLE_SECONDS = 1.5

_current: ContextVar["Watch | None"] = ContextVar("dagma_langflow_watch", default=None)


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, shared by the attempts, waits and reads of an operation.

    Args:
        at: The moment, as `time.monotonic()` counts, in seconds.
        seconds: The time that was given, for messages.
    """

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline that lies `seconds` ahead."""
        return cls(time.monotonic() + seconds, seconds)

    def at_most(self, other: "Deadline") -> "Deadline":
        """Return the earlier of two deadlines."""
        return min(self, other, key=lambda deadline: deadline.at)

    def remaining(self) -> float:
        """Return the seconds left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    def passed(self) -> bool:
        """Return whether no time is left."""
        return self.remaining() <= 0.0

    def check(self, doing: str) -> None:
        """Raise if no time is left to begin something that runs no flow unless it is sent.

        Raises:
            CallTimeout: No time is left; nothing was sent.
        """
        if self.passed():
            raise CallTimeout(f"The deadline of {self.seconds:g} s passed before {doing}.", outcome="not_run")


class Alarms:
    """Calls back when a time has come, from a thread of its own that starts with the first alarm.

    Callbacks must be short, and must not raise. Threads may share one; in a forked child it starts empty.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._alarms: dict[Hashable, tuple[float, Callable[[], object]]] = {}
        self._is_running = False
        self._wakes_at = math.inf

    def set(self, owner: Hashable, seconds: float, callback: Callable[[], object]) -> None:
        """Set the alarm of an owner, who has one at most.

        Args:
            owner: Who sets it.
            seconds: In how many seconds.
            callback: What to do then.
        """
        at = time.monotonic() + seconds
        with self._changed:
            self._alarms[owner] = (at, callback)
            if not self._is_running:
                threading.Thread(target=self._run, name="dagma-alarms", daemon=True).start()
                self._is_running = True
            elif at < self._wakes_at:
                self._changed.notify()

    def cancel(self, owner: Hashable) -> None:
        """Cancel an owner's alarm, if it has not gone off; it may be going off right now.

        Args:
            owner: Who set it.
        """
        # The thread is left to sleep: it finds out when it wakes.
        with self._changed:
            self._alarms.pop(owner, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = [owner for owner, (at, _) in self._alarms.items() if at <= now]
                callbacks = [self._alarms.pop(owner)[1] for owner in due]
                if not callbacks:
                    self._wakes_at = min((at for at, _ in self._alarms.values()), default=math.inf)
                    self._changed.wait(min(self._wakes_at - now, threading.TIMEOUT_MAX))
            for callback in callbacks:
                callback()

    def _forget_after_fork(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._alarms = {}
        self._is_running = False


alarms = Alarms()
"""Those of this process."""

os.register_at_fork(after_in_child=alarms._forget_after_fork)


class Watch:
    """Watches one exchange.

    Args:
        deadline: When to cut its connection.

    Attributes:
        deadline: The same.
        sent: Whether a byte of the request may have left this machine.
        answered: Whether a response has begun.
        fired: Whether the time was over and the connection was cut.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.sent = False
        self.answered = False
        self.fired = False
        self._lever: socket.socket | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> "Watch":
        alarms.set(self, self.deadline.remaining(), self._fire)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        alarms.cancel(self)
        with self._lock:
            self._drop()

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make this the watch that the connections of this thread report to."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def hold(self, sock: socket.socket) -> None:
        """Take a lever on the socket to shut down when the time is over.

        The lever is a duplicate of the file descriptor: it ends the connection whatever wraps or owns it by then.
        """
        with self._lock:
            self._drop()
            self._lever = socket.socket(fileno=os.dup(sock.fileno()))
            if self.fired:
                self._pull()

    def _fire(self) -> None:
        with self._lock:
            self.fired = True
            self._pull()

    def _pull(self) -> None:
        if self._lever is not None:
            # The other side may have closed it already: nothing is left to cut.
            with contextlib.suppress(OSError):
                self._lever.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._lever is not None:
            self._lever.close()
            self._lever = None


def seconds_left() -> float:
    """Return the seconds left to the exchange that this thread is in; infinite outside of one."""
    watch = _current.get()
    return math.inf if watch is None else watch.deadline.remaining()


class _WatchedConnection(HTTPConnection):
    """A connection that hands its socket to the current watch, from the first byte of a TLS handshake on."""

    _is_connecting = False

    def connect(self) -> None:
        self._is_connecting = True
        try:
            super().connect()
        finally:
            self._is_connecting = False

    def _new_conn(self) -> socket.socket:
        sock = self._connected()
        _report(sock)
        return sock

    def _connected(self) -> socket.socket:
        """Try the addresses of the server's name one after the other, all of them within the time that is left."""
        host, longest = self.host, self.timeout
        failure: Exception = NewConnectionError(self, "There was no time to connect.")
        try:
            for address in self._addresses():
                left = seconds_left()
                if left <= 0:
                    break
                self.host, self.timeout = address, min(longest, left) if isinstance(longest, int | float) else left
                try:
                    return super()._new_conn()
                except (NewConnectionError, ConnectTimeoutError) as error:
                    failure = error
        finally:
            self.host, self.timeout = host, longest
        raise failure

    def _addresses(self) -> list[str]:
        try:
            found = socket.getaddrinfo(self.host.strip("[]"), self.port, allowed_gai_family(), socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return [self.host]  # as the attempt to connect will tell
        return [str(address[0]) for *_, address in found]

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request; a connection that was kept reports to the watch of this exchange from now on."""
        if self.sock is not None:
            _report(self.sock)
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        # A proxy is asked for its tunnel while connecting: nothing of the request is in that.
        if not self._is_connecting and (watch := _current.get()) is not None:
            watch.sent = True
        super().send(data)


def _report(sock: socket.socket) -> None:
    if (watch := _current.get()) is not None:
        watch.hold(sock)


class _WatchedTLSConnection(_WatchedConnection, HTTPSConnection):
    """The same over TLS."""


class _WatchedPool(HTTPConnectionPool):
    """Keeps connections, but for none that has been idle for so long that the server may be closing it.

    A request that meets the server's close on its way is lost, and nobody can tell whether it was read: a flow that
    may have run must not be sent again.
    """

    ConnectionCls = _WatchedConnection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)

    def _get_conn(self, timeout: float | None = None) -> Any:
        conn = super()._get_conn(timeout)
        if time.monotonic() - getattr(conn, "idle_since", math.inf) > LONGEST_IDLE_SECONDS:
            # It connects anew with its next request.
            conn.close()
        return conn


class _WatchedTLSPool(_WatchedPool, HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = _WatchedTLSConnection


_POOLS = {"http": _WatchedPool, "https": _WatchedTLSPool}


def watched_pools(base_url: str, tls: TLS) -> PoolManager:
    """Make pools of watched connections to one server; nothing is opened yet.

    The environment may name a proxy, and authorities where `tls` names none, in the variables that requests reads. It
    is read here, once.

    Args:
        base_url: The server.
        tls: Trust and identity.

    Raises:
        ValueError: The environment's authorities or its proxy can't be used. The message shows nothing of the proxy,
            which may hold a login.
    """
    # Callers share one client between threads; below this many, connections are kept.
    options: dict[str, Any] = {"maxsize": 64, "cert_file": tls.cert, "key_file": tls.key, **_trust(base_url, tls)}
    proxy = select_proxy(base_url, get_environ_proxies(base_url))
    pools = _pools_through(proxy, options) if proxy else PoolManager(**options)
    pools.pool_classes_by_scheme = _POOLS
    return pools


def _pools_through(proxy: str, options: Mapping[str, Any]) -> ProxyManager:
    url = proxy if "://" in proxy else f"http://{proxy}"
    parts = checked_address("The proxy that the environment names", url, "http://host:port")
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    return ProxyManager(url, proxy_headers=make_headers(proxy_basic_auth=login), **options)


def _trust(base_url: str, tls: TLS) -> Mapping[str, Any]:
    if not tls.verify:
        return {"cert_reqs": "CERT_NONE"}
    authorities = Path(tls.ca_bundle or _authorities_of_environment(base_url) or DEFAULT_CA_BUNDLE_PATH)
    return {"cert_reqs": "CERT_REQUIRED", "ca_cert_dir" if authorities.is_dir() else "ca_certs": authorities}


def _authorities_of_environment(base_url: str) -> str | None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(variable):
            if base_url.lower().startswith("https:"):
                try:
                    check_authorities(path)
                except ValueError as error:
                    raise ValueError(f"{variable}: {error}") from None
            return path
    return None
