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
    RateLimited,
    ServerError,
    Unauthorized,
)
from dagma.langflow.http.transport import Reply
from dagma.langflow.known_failures import NO_CREDIT, fix_for
from dagma.langflow.redaction import Redactor
from dagma.langflow.untrusted_json import json_or_none, text_or_none, walk

# The types of the errors that Langflow keeps for a job that it will never finish.
_LOST = {"worker_lost", "cancelled", "suspend_failed", "request_overrides_unavailable"}
_REFUSED: Details = {"outcome": "not_run"}
_BY_CODE: Mapping[str | None, tuple[type[LangflowError], Details]] = {
    "FLOW_NOT_FOUND": (FlowNotFound, {}),
    "JOB_NOT_FOUND": (JobNotFound, {}),
    # Langflow's own time limit ended the run.
    "EXECUTION_TIMEOUT": (CallTimeout, {"outcome": "failed"}),
    # Another request with the same idempotency key came first.
    "DUPLICATE_REQUEST": (Conflict, {"fix": "Send it again: it then gets the job of the other.", "retryable": True}),
    # Langflow refuses these before it starts or queues anything (DATABASE_ERROR is not one: it can follow a run).
    "SERVICE_BUSY": (ServerError, _REFUSED),
    "QUEUE_SERVICE_UNAVAILABLE": (ServerError, _REFUSED),
    "REQUEST_OVERRIDES_UNAVAILABLE": (ServerError, _REFUSED),
}
_BY_STATUS: Mapping[int, type[LangflowError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: FlowNotFound,
    408: CallTimeout,
    409: Conflict,
    429: RateLimited,
    504: CallTimeout,
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
class _Fault:
    """What an error response says."""

    status: int
    detail: Any
    message: str
    code: str | None
    details: Details
    redactor: Redactor

    @classmethod
    def of(cls, reply: Reply) -> "_Fault":
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
        return cls(
            status=reply.status,
            detail=detail,
            message=reply.redactor.text(text_or_none(told) or ""),
            code=text_or_none(walk(detail, "code")),
            details={"status": reply.status, "excerpt": reply.excerpt, "retry_after": retry_after(reply.headers)},
            redactor=reply.redactor,
        )


def error_of(reply: Reply, subject: str) -> LangflowError:
    """Return the typed error of a response whose status is none of 2xx, to what was asked: "run of flow 'x'"."""
    fault = _Fault.of(reply)
    if failed := _failed_run(fault, subject):
        return failed
    return _failed_job(fault, subject) if fault.code == "JOB_FAILED" else _refused(fault, subject)


def flow_failed(
    message: str, subject: str, details: Details, component: str | None = None, *, redactor: Redactor
) -> FlowFailed:
    """Return the error for a flow that ran and failed, with what its component said.

    `component` is its name, where the server gives it apart from the message. Both are redacted here.
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


def _failed_run(fault: _Fault, subject: str) -> LangflowError | None:
    """Return the error if the flow itself failed, whatever the status pretends."""
    details = fault.details
    # A connection that the flow uses: Langflow passes the provider's 401, 403 or 429 on as its own.
    passed_on = text_or_none(walk(fault.detail, "error_code")) is not None
    if passed_on:
        details = {**details, "retryable": walk(fault.detail, "retryable") is True}
    raised = fault.status == 500 and fault.code is None and isinstance(fault.detail, dict) and "message" in fault.detail
    if passed_on or raised or _FAILED_RUN.search(fault.message):
        return flow_failed(fault.message, subject, details, redactor=fault.redactor)
    return None


def _failed_job(fault: _Fault, subject: str) -> LangflowError:
    detail = walk(fault.detail, "error_detail")
    if detail is None:
        # A component that raises leaves its message; a server that goes down leaves none.
        return JobLost(f"Langflow failed the {subject} and kept no reason; it was probably shut down.", **fault.details)
    kind = text_or_none(walk(detail, "type"))
    if kind in _LOST:
        return JobLost(f"Langflow lost the {subject} ({kind}).", **fault.details)
    component = text_or_none(walk(detail, "properties", "source", "display_name"))
    reason = text_or_none(walk(detail, "text")) or text_or_none(walk(detail, "error")) or kind or fault.message
    return flow_failed(reason, subject, fault.details, component, redactor=fault.redactor)


def _refused(fault: _Fault, subject: str) -> LangflowError:
    """Return the error of a request that Langflow, or something in front of it, did not serve."""
    said = " ".join(fault.message.split())[:_LONGEST_REASON] or responses.get(fault.status, "no reason given")
    cause = f"The server answered {fault.status} to the {subject} ({said})."
    more: Details = {}
    if fault.status in (401, 403) and _KEY_UNCHECKED in fault.message:
        kind: type[LangflowError] = ServerError
        more = {
            "fix": "Langflow's database is away: bring it back. Nothing was run, and the key may be right.",
            **_REFUSED,
        }
    elif fault.code in _BY_CODE:
        kind, more = _BY_CODE[fault.code]
    elif fault.status >= 500:
        kind = _BY_STATUS.get(fault.status, ServerError if fault.status < 600 else MalformedResponse)
        if fault.status == 503 and fault.code is None and fault.details.get("retry_after") is not None:
            # With Retry-After a server says that it refused the request and invites to send it again. Without, nothing
            # tells whether something in front of Langflow gave up on a run that goes on; and a code that is left for
            # here, such as DATABASE_ERROR, can follow a run.
            more = _REFUSED
    else:
        kind = _BY_STATUS.get(fault.status, BadRequest if fault.status >= 400 else MalformedResponse)
        if kind is FlowNotFound and "of flow " not in subject:
            more = {"fix": "Check that the base URL is Langflow's, the id, if one was given, and whose key is used."}
    details: Details = {**fault.details, **more}
    return kind(cause, **details)
