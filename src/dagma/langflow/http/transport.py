"""One HTTP exchange: bounded in time and memory, without redirects, its network failures typed."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from ssl import SSLContext
from typing import Any, Protocol
from urllib.parse import urlencode

from urllib3 import BaseHTTPResponse, HTTPHeaderDict, Timeout
from urllib3.exceptions import HTTPError

from dagma.langflow.errors import BadRequest, CallTimeout, LangflowError, MalformedResponse, RedirectRefused
from dagma.langflow.http.connection_settings import checked_base_url
from dagma.langflow.http.network_errors import network_error
from dagma.langflow.http.tls import tls_context
from dagma.langflow.http.watched_http import Deadline, Watch, watched_pools
from dagma.langflow.redaction import Redactor, bare_url

DEFAULT_MAX_BODY_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 65_536
# For a connection to stand, TLS handshake included.
_CONNECT_SECONDS = 5.0
# Of a body, for errors to quote.
_START_BYTES = 4096

_sent: ContextVar[tuple[str, ...]] = ContextVar("dagma_langflow_sent", default=())


@dataclass(frozen=True)
class Request:
    """What is asked of the server.

    A payload is sent as JSON; bytes are sent as they are, with the `Content-Type` of `headers`.
    """

    method: str
    path: str
    params: Mapping[str, str] | None = None
    payload: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Reply:
    """A response that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    redactor: Redactor

    @property
    def is_ok(self) -> bool:
        """Whether the status is one of 2xx."""
        return 200 <= self.status < 300

    @property
    def excerpt(self) -> str:
        """The start of the body, redacted."""
        return self.redactor.excerpt(self.body)


@dataclass(frozen=True)
class StreamReply:
    """A response whose body is still to be read; `chunks` ends where the body ends.

    `started` is when its request was sent, by the monotonic clock.
    """

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]
    started: float

    @property
    def is_ok(self) -> bool:
        """Whether the status is one of 2xx."""
        return 200 <= self.status < 300


@contextmanager
def quoting(excerpt: Callable[[], str]) -> Iterator[None]:
    """Let every error in here that quotes nothing yet quote the response that it is about, redacted."""
    try:
        yield
    except LangflowError as error:
        error.excerpt = error.excerpt or excerpt()
        raise


class Token(Protocol):
    """A bearer token that expires; `ClientCredentials` is the one there is, and stands on a transport of its own."""

    def header(self, deadline: Deadline) -> str:
        """Return what the header Authorization holds for the next request."""

    def forget(self, refused: str) -> None:
        """Have another for the next request than the one in this header."""

    def secrets(self) -> Iterable[str]:
        """Return what must never be shown."""


class Transport:
    """Sends requests to one server; safe for threads.

    Args:
        base_url: http or https address, with the path that a gateway mounts the server at; no user, no query.
        headers: Headers of every request.
        secrets: What must never be shown.
        token: Gives the header Authorization.
        tls: Gives trust and identity, where the server speaks TLS.
        max_body_bytes: Largest body that is read whole; a stream is bounded by its longest event.
        may_quote: Whether errors may quote bodies; not where a body may hold a secret that is not known yet.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
        token: Token | None = None,
        tls: Callable[[], SSLContext] = tls_context,
        max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
        may_quote: bool = True,
    ) -> None:
        self.base_url = checked_base_url("The base URL", base_url).rstrip("/")
        self._secrets = tuple(secrets)
        self._token = token
        # No compression: a small body must not be able to grow without bound in memory.
        self._headers = HTTPHeaderDict({"Accept-Encoding": "identity", "Accept": "application/json"})
        self._headers.update(headers or {})
        self.max_body_bytes = max_body_bytes
        self._may_quote = may_quote
        self._pools = watched_pools(self.base_url, tls)

    def close(self) -> None:
        """Close the kept connections."""
        self._pools.clear()

    def redactor(self) -> Redactor:
        """Return a redactor of everything secret by now; tokens come and go."""
        fetched = self._token.secrets() if self._token else ()
        return Redactor([*self._secrets, *fetched, *_sent.get()])

    @contextmanager
    def hiding(self, secret: str) -> Iterator[None]:
        """Treat a value that is sent in here as a secret, which a server may repeat in what it answers."""
        token = _sent.set((*_sent.get(), secret))
        try:
            yield
        finally:
            _sent.reset(token)

    def exchange(self, request: Request, deadline: Deadline) -> Reply:
        """Send one request and read its response, whatever its status.

        Raises:
            LangflowError: There is no complete response.
        """
        with self.stream(request, deadline) as stream:
            return self.read(stream)

    def read(self, stream: StreamReply) -> Reply:
        """Read a response to its end.

        Raises:
            LangflowError: It has none, or is too large.
        """
        body = bytearray()
        for chunk in stream.chunks:
            body += chunk
            if len(body) > self.max_body_bytes:
                raise MalformedResponse(
                    f"The response is larger than {self.max_body_bytes} bytes.",
                    fix="Make the flow answer with less, or raise the limit of the client.",
                    status=stream.status,
                )
        return Reply(
            status=stream.status,
            headers=stream.headers,
            body=bytes(body),
            seconds=time.monotonic() - stream.started,
            redactor=self.redactor(),
        )

    @contextmanager
    def stream(
        self, request: Request, deadline: Deadline, *, read_timeout: float | None = None
    ) -> Iterator[StreamReply]:
        """Send one request and give its response while it comes in.

        Args:
            request: The request.
            deadline: When to give up, while reading as well.
            read_timeout: Longest silence in seconds; until the deadline by default.

        Raises:
            LangflowError: No connection, no response, a redirect, or a body that breaks off or stalls.
        """
        if deadline.passed():
            raise CallTimeout(f"The deadline of {deadline.seconds:g} s passed before {request}.", outcome="not_run")
        silence = min(read_timeout or math.inf, deadline.remaining() + 1.0)
        started = time.monotonic()
        for may_renew in (True, False):
            proof = {"Authorization": self._token.header(deadline)} if self._token else {}
            watch = Watch(deadline)
            with self._translated(request, watch), watch.current():
                response = self._response(request, proof, watch, silence)
            start = bytearray()
            with closing(response), quoting(partial(self._excerpt, start)):
                if 300 <= response.status < 400:
                    raise self._redirect_refused(response)
                if self._token and response.status == 401:
                    self._token.forget(proof["Authorization"])
                    # What refuses a token names what it takes (RFC 6750). A 401 without it may be a provider's,
                    # passed on by a flow that ran.
                    if may_renew and "WWW-Authenticate" in response.headers:
                        continue
                yield StreamReply(
                    status=response.status,
                    headers=response.headers,
                    chunks=self._chunks(response, request, watch, start),
                    started=started,
                )
                return

    def _response(self, request: Request, proof: Mapping[str, str], watch: Watch, silence: float) -> BaseHTTPResponse:
        """Send a request, and wait for the start of its response."""
        body = _encoded(request.payload)
        headers = self._headers.copy()
        if body is not None:
            headers["Content-Type"] = "application/json"
        headers.update(request.headers)
        headers.update(proof)
        query = f"?{urlencode(request.params)}" if request.params else ""
        return self._pools.urlopen(
            request.method,
            f"{self.base_url}{request.path}{query}",
            body=body,
            headers=headers,
            timeout=Timeout(connect=min(_CONNECT_SECONDS, watch.deadline.remaining() + 0.001), read=silence),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )

    def _excerpt(self, start: bytearray) -> str:
        return self.redactor().excerpt(bytes(start), is_cut=True) if self._may_quote else ""

    @contextmanager
    def _translated(self, request: Request, watch: Watch) -> Iterator[None]:
        try:
            yield
        except (HTTPError, OSError) as error:
            # `from None`: the messages of urllib3 may quote what they were given.
            address = bare_url(self.base_url)
            raise network_error(error, watch, str(request), address, self.redactor()) from None

    def _chunks(self, response: BaseHTTPResponse, request: Request, watch: Watch, start: bytearray) -> Iterator[bytes]:
        """Yield the body as it comes in, and keep the start of it."""
        with self._translated(request, watch):
            # read1 gives what has come in, without waiting for a full buffer: events arrive when they happen.
            while chunk := response.read1(_CHUNK_BYTES):
                if len(start) < _START_BYTES:
                    start += chunk[: _START_BYTES - len(start)]
                yield chunk

    def _redirect_refused(self, response: BaseHTTPResponse) -> RedirectRefused:
        target = self.redactor().text(bare_url(response.headers.get("Location", "")))
        return RedirectRefused(
            f"{bare_url(self.base_url)} answered with {response.status}, a redirect to {target[:200] or 'nowhere'}.",
            status=response.status,
        )


def _encoded(payload: Any) -> bytes | None:
    if payload is None or isinstance(payload, bytes):
        return payload
    try:
        # Strict: Langflow runs a flow with an empty input, and answers 200, where it can't parse a body.
        return json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        fix = "Use texts, finite numbers, booleans, None, and lists and dicts of these, such as `str(date)` for a date."
        raise BadRequest(f"The request can't be written as JSON: {error}.", fix=fix) from None
