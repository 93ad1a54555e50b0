"""From a response with an error status to the typed error of its cause.

Langflow's statuses do not mean what they seem to: a component that raises is a 500 or, where its message contains "not
found", a 404 in v1; a failed background job is a 500 when asked for; and a provider's 401, 403 or 429 inside a flow is
passed on as if it were Langflow's own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Any

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from dagma.langflow.errors import (
    BadRequest,
    CallTimeout,
    Conflict,
    Details,
    FlowFailed,
    FlowNotFound,
    Forbidden,
    JobLost,
    JobNotFound,
    LangflowError,
    MalformedResponse,
    Outcome,
    RateLimited,
    ServerError,
    Unauthorized,
)
from dagma.langflow.http.transport import Reply
from dagma.langflow.known_failures import NO_CREDIT, fix_for
from dagma.langflow.redaction import Redactor
from dagma.langflow.untrusted_json import finite_number, json_or_none, text_or_none, walk

# Langflow refuses these before it starts or queues anything (DATABASE_ERROR is not one: it can follow a run).
_REFUSED_BEFORE_RUNNING = {"SERVICE_BUSY", "QUEUE_SERVICE_UNAVAILABLE", "REQUEST_OVERRIDES_UNAVAILABLE"}
# Why Langflow will never finish a job, by the type that it keeps as the job's error.
_LOST = {
    "worker_lost": "the process that ran it died",
    "cancelled": "the process that ran it was shut down",
    "suspend_failed": "it could not be kept while waiting for a human",
    "request_overrides_unavailable": "its tweaks can't be decrypted, since the secret key of the server changed",
}
_FAILED_RUN = re.compile(r"Error (?:running graph|building Component)")
_FAILED_COMPONENT = re.compile(r"Error building Component (?P<component>[^:\n]+):")
# What Langflow answers for a good key, with 403, while its database is away; a wrong one is "Invalid or missing".
_KEY_UNCHECKED = "API key authentication failed"
# A model server that is down or overloaded, or a database that went away: the same request may succeed later, at its
# price.
_PASSING = re.compile(
    r"connection (?:error|refused|reset|aborted)|timed? ?out|rate.?limit|too many requests|overloaded|unavailable"
    r"|error code: (?:429|5\d\d)|closed the connection|terminating connection|the database system is",
    re.IGNORECASE,
)
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Fault:
    """What an error response says."""

    status: int
    detail: Any
    message: str
    code: str | None
    retry_after: float | None
    excerpt: str
    redactor: Redactor

    @classmethod
    def of(cls, reply: Reply) -> "Fault":
        """Read an error response, whatever its body."""
        body = json_or_none(reply.body)
        detail = walk(body, "detail")
        if detail is None and reply.status == 404:
            # A server that serves the canvas too answers 404 with the detail itself.
            detail = body
        if isinstance(detail, str) and detail.startswith("{"):
            # The detail of a failed v1 run is an object written as a string.
            detail = json_or_none(detail) or detail
        # Of a request that it can't read, Langflow lists what is wrong.
        told = detail if isinstance(detail, str) else walk(detail, "message") or walk(detail, 0, "msg")
        message = text_or_none(told) or ""
        return cls(
            status=reply.status,
            detail=detail,
            message=reply.redactor.text(message),
            code=text_or_none(walk(detail, "code")),
            retry_after=retry_after(reply.headers),
            excerpt=reply.excerpt,
            redactor=reply.redactor,
        )

    def text(self, *path: str) -> str | None:
        """Return a text inside the detail, redacted; None where there is none."""
        text = text_or_none(walk(self.detail, *path))
        return self.redactor.text(text) if text is not None else None

    @property
    def details(self) -> Details:
        """What every error type keeps of it."""
        return {"status": self.status, "excerpt": self.excerpt, "retry_after": self.retry_after}


def error_of(reply: Reply, subject: str) -> LangflowError:
    """Return the typed error of a response whose status is none of 2xx.

    Args:
        reply: The response.
        subject: What was asked for, for messages, as in "run of flow 'x'".
    """
    fault = Fault.of(reply)
    return (
        _failed_run(fault, subject)
        or _key_unchecked(fault, subject)
        or _by_code(fault, subject)
        or _by_status(fault, subject)
    )


def flow_failed(
    message: str, subject: str, details: Details, component: str | None = None, *, redactor: Redactor
) -> FlowFailed:
    """Return the error for a flow that ran and failed.

    Args:
        message: What the component said.
        subject: What was asked for.
        details: Status, excerpt and so on.
        component: Its name, where the server gives it apart from the message.
        redactor: Hides the client's secrets in both.
    """
    # Redacted before it is cut: half a secret would not be recognized.
    message, component = redactor.text(message), component and redactor.text(component)
    if component is None and (match := _FAILED_COMPONENT.search(message)):
        component = match["component"].strip()
    reason = " ".join(message.split())[:_LONGEST_REASON].removesuffix(".") or "no reason given"
    where = f" in component {component!r}" if component else ""
    may_pass = bool(_PASSING.search(message)) and not NO_CREDIT.search(message)
    details = {"retryable": may_pass, "fix": fix_for(message), **details}
    return FlowFailed(f"The {subject} failed{where}: {reason}.", component=component, **details)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a Retry-After header asks to wait, given as seconds or as an HTTP date."""
    try:
        return float(Retry().parse_retry_after(headers.get("Retry-After", "")))
    except (InvalidHeader, ValueError, OverflowError):
        return None


def _failed_run(fault: Fault, subject: str) -> LangflowError | None:
    """Return the error if the flow itself failed, whatever the status pretends."""
    if text_or_none(walk(fault.detail, "error_code")):
        # A connection that the flow uses: Langflow passes the provider's 401, 403 or 429 on as its own.
        waits = finite_number(walk(fault.detail, "retry_after"))
        return flow_failed(
            fault.message,
            subject,
            {
                **fault.details,
                "retryable": walk(fault.detail, "retryable") is True,
                "retry_after": fault.retry_after if waits is None else max(0.0, waits),
            },
            redactor=fault.redactor,
        )
    raised = fault.status == 500 and fault.code is None and isinstance(fault.detail, dict) and "message" in fault.detail
    if raised or _FAILED_RUN.search(fault.message):
        return flow_failed(fault.message, subject, fault.details, redactor=fault.redactor)
    return None


def _key_unchecked(fault: Fault, subject: str) -> LangflowError | None:
    """Return the error if Langflow could not even look at the key."""
    if fault.status not in (401, 403) or _KEY_UNCHECKED not in fault.message:
        return None
    details: Details = {
        **fault.details,
        "fix": "Bring Langflow's database back. Nothing was run, and the key may be right.",
        "outcome": "not_run",
    }
    return ServerError(f"Langflow could not check the API key for the {subject}; its database is away.", **details)


def _by_code(fault: Fault, subject: str) -> LangflowError | None:
    match fault.code:
        case "FLOW_NOT_FOUND":
            return FlowNotFound(f"Langflow knows no such flow for the {subject}.", **fault.details)
        case "JOB_NOT_FOUND":
            return JobNotFound(f"Langflow knows no such job for the {subject}.", **fault.details)
        case "JOB_FAILED":
            return _failed_job(fault, subject)
        case "EXECUTION_TIMEOUT":
            details: Details = {**fault.details, "outcome": "failed"}
            return CallTimeout(f"Langflow's own time limit ended the {subject}.", **details)
        case "DUPLICATE_REQUEST":
            details = {
                **fault.details,
                "fix": "Send it again: it then gets the job of the other one.",
                "retryable": True,
            }
            return Conflict(f"Another request with the same idempotency key came first for the {subject}.", **details)
        case code if code in _REFUSED_BEFORE_RUNNING:
            details = {**fault.details, "outcome": "not_run"}
            return ServerError(f"Langflow is too busy for the {subject} ({code}).", **details)
    return None


def _failed_job(fault: Fault, subject: str) -> LangflowError:
    detail = walk(fault.detail, "error_detail")
    if detail is None:
        # A component that raises leaves its message; a server that goes down leaves none.
        return JobLost(f"Langflow failed the {subject} and kept no reason; it was probably shut down.", **fault.details)
    kind = text_or_none(walk(detail, "type"))
    if kind in _LOST:
        return JobLost(f"Langflow lost the {subject}: {_LOST[kind]}.", **fault.details)
    component = fault.text("error_detail", "properties", "source", "display_name")
    reason = fault.text("error_detail", "text") or fault.text("error_detail", "error")
    reason = reason or fault.text("error_detail", "type") or fault.message
    return flow_failed(reason, subject, fault.details, component, redactor=fault.redactor)


def _by_status(fault: Fault, subject: str) -> LangflowError:
    said = " ".join(fault.message.split())[:_LONGEST_REASON] or responses.get(fault.status, "no reason given")
    cause = f"The server answered {fault.status} to the {subject} ({said})."
    match fault.status:
        case 401:
            return Unauthorized(cause, **fault.details)
        case 403:
            return Forbidden(cause, **fault.details)
        case 404:
            return FlowNotFound(cause, **fault.details)
        case 408 | 504:
            return CallTimeout(cause, **fault.details)
        case 409:
            return Conflict(cause, **fault.details)
        case 429:
            return RateLimited(cause, **fault.details)
        case 503:
            # With Retry-After a server says that it refused the request and invites to send it again. Without,
            # nothing tells whether something in front of Langflow gave up on a run that goes on; and a code that
            # is left for here, such as DATABASE_ERROR, can follow a run.
            refused = fault.retry_after is not None and fault.code is None
            outcome: Outcome = "not_run" if refused else "unknown"
            details: Details = {**fault.details, "outcome": outcome}
            return ServerError(cause, **details)
        case status if 500 <= status < 600:
            return ServerError(cause, **fault.details)
        case status if 400 <= status < 500:
            return BadRequest(cause, **fault.details)
    return MalformedResponse(cause, **fault.details)
