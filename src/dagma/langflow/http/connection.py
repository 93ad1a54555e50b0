"""What every part of the client stands on: settings, and requests sent with retries and typed errors."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from dagma.backoff import Backoff
from dagma.langflow.auth.access import Access
from dagma.langflow.error_responses import error_of
from dagma.langflow.errors import LangflowError, RateLimited
from dagma.langflow.flow import FlowCache
from dagma.langflow.http.connection_settings import JobPolicy
from dagma.langflow.http.transport import DEFAULT_MAX_BODY_BYTES, Reply, Request, Transport
from dagma.langflow.http.watched_http import Deadline
from dagma.langflow.untrusted_json import json_object, malformed

T = TypeVar("T")
_BACKOFF = Backoff(first=0.5, longest=20.0)
# Requests that run no flow are answered in milliseconds; whoever waits for them has no use for a flow's patience.
_QUICK_SECONDS = 30.0

_tell: ContextVar[Callable[[float], None]] = ContextVar("dagma_tell_of_waits", default=lambda _: None)


@contextmanager
def telling_of_waits(tell: Callable[[float], None]) -> Iterator[None]:
    """Tell of each wait that a server asks for in the block, so that other callers can hold back as well.

    `tell` is given the seconds, before the wait begins, in the thread of the call.
    """
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


@dataclass(frozen=True)
class RetryPolicy:
    """When to send a request again, within the deadline of the call.

    A request that runs a flow is sent again only after an error whose `outcome` is `not_run`: the connection was
    refused or no byte was sent, 429, or a 503 that says it was refused (Langflow's own code, or `Retry-After`). After
    a read time-out or a connection that broke off it never is, since the flow may go on and be paid for. A request
    that runs no flow is sent again after every error that is `retryable`.

    Args:
        attempts: How often to send at most; 1 turns retries off.
        backoff: How long to wait in between.
    """

    attempts: int = 4
    backoff: Backoff = _BACKOFF

    def call(self, request: Callable[[], T], *, deadline: Deadline, idempotent: bool) -> T:
        """Send until there is an answer, an error that is not to be retried, or no time or attempt left.

        A wait that would pass the deadline is not begun. What is idempotent may be sent twice.

        Raises:
            LangflowError: The last error; its `outcome` is `not_run` only if that of each one before was.
        """
        may_have_run, attempt = False, 0
        while True:
            attempt += 1
            try:
                return request()
            except LangflowError as error:
                if may_have_run and error.outcome == "not_run":
                    error.outcome = "unknown"
                may_have_run = error.outcome != "not_run"
                may_retry = error.retryable and (idempotent or error.outcome == "not_run")
                wait = self.backoff.seconds(attempt, error.retry_after)
                if attempt >= self.attempts or not may_retry or wait >= deadline.remaining():
                    raise
                if error.retry_after is not None or isinstance(error, RateLimited):
                    _tell.get()(wait)
                time.sleep(wait)


class Connection:
    """A connection to Langflow; safe for threads, and a context manager that closes it.

    `LangflowClient` describes the arguments.
    """

    def __init__(
        self,
        base_url: str,
        access: Access | None = None,
        *,
        timeout: float = 300.0,
        retry: RetryPolicy | None = None,
        jobs: JobPolicy | None = None,
        max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
    ) -> None:
        access = access or Access()
        self._transport = Transport(
            base_url,
            headers=access.sent_headers,
            secrets=access.secrets,
            token=access.token,
            tls=lambda: access.tls,
            max_body_bytes=max_body_bytes,
        )
        self._seconds = timeout
        self._retry = retry or RetryPolicy()
        self._jobs = jobs or JobPolicy()
        self._flow_cache = FlowCache()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def base_url(self) -> str:
        """The address that is called."""
        return self._transport.base_url

    def close(self) -> None:
        """Close the kept connections."""
        self._transport.close()

    def hurried(self, seconds: float, retry: RetryPolicy) -> Self:
        """Return this client with less patience, on the same connections: for what must not hold anybody up."""
        hurried = copy(self)
        hurried._seconds = min(seconds, self._seconds)
        hurried._retry = retry
        return hurried

    def health_check(self) -> dict[str, Any]:
        """Return what Langflow says of its health, its database asked.

        Raises:
            LangflowError: It is not healthy, or can't be asked.
        """
        reply = self._send("GET", "/health_check", "health check")
        body = json_object(reply, outcome="not_run")
        if body.get("status") != "ok":
            raise malformed(reply, "a health that is not ok", outcome="not_run")
        return body

    def version(self) -> str:
        """Return Langflow's version.

        Raises:
            LangflowError: It can't be had.
        """
        reply = self._send("GET", "/api/v1/version", "version")
        version = json_object(reply, outcome="not_run").get("version")
        if not isinstance(version, str):
            raise malformed(reply, "no version", outcome="not_run")
        return version

    def _send(
        self,
        method: str,
        path: str,
        subject: str,
        params: Mapping[str, str] | None = None,
        *,
        payload: Any = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool = True,
        deadline: Deadline | None = None,
    ) -> Reply:
        """Send a request, again where that may help; by the quick deadline unless another is given."""
        deadline = deadline or self._quick_deadline()
        request = Request(method, path, params=params, payload=payload, headers=headers or {})

        def once() -> Reply:
            reply = self._transport.exchange(request, deadline)
            if not reply.is_ok:
                raise error_of(reply, subject)
            return reply

        return self._retry.call(once, deadline=deadline, idempotent=idempotent)

    def _quick_deadline(self) -> Deadline:
        return Deadline.after(min(_QUICK_SECONDS, self._seconds))

    def _job_deadline(self, seconds: float | None) -> Deadline:
        return Deadline.after(self._jobs.total if seconds is None else seconds)

    def _deadline(self, seconds: float | None) -> Deadline:
        return Deadline.after(self._seconds if seconds is None else seconds)
