"""What every part of the client stands on: settings, and requests sent with retries and typed errors."""

from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

from dagma.langflow.auth.credential import Credential, Credentials
from dagma.langflow.error_responses import error_of, flow_ran
from dagma.langflow.flow import FlowCache
from dagma.langflow.http.connection_settings import TLS, Timeouts
from dagma.langflow.http.patience import Deadline, RetryPolicy
from dagma.langflow.http.transport import DEFAULT_MAX_BODY_BYTES, Reply, Request, Transport
from dagma.langflow.job_state import JobPolicy
from dagma.langflow.untrusted_json import json_object, malformed

# Requests that run no flow are answered in milliseconds; whoever waits for them has no use for a flow's patience.
_QUICK_SECONDS = 30.0


class Connection:
    """A connection to Langflow; safe for threads, and a context manager that closes it.

    `LangflowClient` describes the arguments.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: Credential | Sequence[Credential] | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        jobs: JobPolicy | None = None,
        tls: TLS | None = None,
        max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
    ) -> None:
        self._transport = Transport(
            base_url,
            credential=auth if isinstance(auth, Credential) else Credentials(auth or []),
            headers=headers,
            timeouts=timeouts,
            tls=tls,
            max_body_bytes=max_body_bytes,
            is_answer=flow_ran,
        )
        self._seconds = self._transport.timeouts.total
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
        """Return this client with less patience, on the same connections: for what must not hold anybody up.

        Args:
            seconds: Longest time for an operation that is not told otherwise.
            retry: When to send a request again.
        """
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

    def server_time(self) -> datetime | None:
        """Return the time by the server's own clock, in whole seconds; None where it does not tell.

        Raises:
            LangflowError: It can't be asked.
        """
        date = self._send("GET", "/health_check", "time").headers.get("Date", "")
        try:
            return parsedate_to_datetime(date)
        except (ValueError, OverflowError):
            return None

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
