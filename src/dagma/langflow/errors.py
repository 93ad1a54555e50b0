"""What can go wrong when a flow is called: one type per cause.

`str()` of each says the cause and the fix. Nothing here ever holds a key, a header or a URL's user or query: what the
server said is redacted before it becomes an `excerpt`.
"""

# ruff: noqa: N818 (the names say the cause; "Error" after each would say nothing more)

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal, TypedDict, Unpack

Outcome = Literal["not_run", "failed", "unknown"]
"""Whether the flow may have run: surely not, it ran and gave no answer that can be used, or nobody can know."""


class Details(TypedDict, total=False):
    """The keyword arguments of `LangflowError`, for subclasses to pass on."""

    fix: str | None
    status: int | None
    excerpt: str
    retryable: bool | None
    retry_after: float | None
    outcome: Outcome | None


class LangflowError(Exception):
    """A call of Langflow's API that has no answer.

    Args:
        cause: What happened, in one sentence.
        fix: What to do about it; the class has a default.
        status: HTTP status, where there was a response.
        excerpt: The start of the response's body, redacted, of at most 500 characters; empty where none was read.
        retryable: Whether the same request may succeed later. A retry is free of double cost only if `outcome`
            is `not_run`, or the request runs no flow.
        retry_after: Seconds that the server asked to wait.
        outcome: Whether the flow may have run, and so may have to be paid.
    """

    default_fix: ClassVar[str] = "See the log of Langflow for this moment."
    default_retryable: ClassVar[bool] = False
    default_outcome: ClassVar[Outcome] = "unknown"

    def __init__(
        self,
        cause: str,
        *,
        fix: str | None = None,
        status: int | None = None,
        excerpt: str = "",
        retryable: bool | None = None,
        retry_after: float | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.fix = self.default_fix if fix is None else fix
        self.status = status
        self.excerpt = excerpt
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after
        self.outcome: Outcome = self.default_outcome if outcome is None else outcome

    def __str__(self) -> str:
        return f"{self.cause} {self.fix}"


@contextmanager
def nothing_runs_yet() -> Iterator[None]:
    """Say of every error in here that no flow was asked to run, whatever became of the request that failed."""
    try:
        yield
    except LangflowError as error:
        error.outcome = "not_run"
        raise


class Unreachable(LangflowError):
    """No connection, or one that broke off. `outcome` tells whether the request had been sent."""

    default_fix = "Check the base URL, that Langflow is up, and the network between."
    default_retryable = True


class CallTimeout(LangflowError):
    """A time-out or the overall deadline passed. `outcome` tells whether the request had been sent."""

    default_fix = "Raise the time-out, shorten the flow, or run it as a background job."
    default_retryable = True


class TLSFailure(LangflowError):
    """The TLS handshake failed: a certificate is not trusted, expired or missing."""

    default_fix = "Set a CA bundle that has the server's authority, or the client's own certificate and key."
    default_outcome = "not_run"


class RedirectRefused(LangflowError):
    """The server answered with a redirect, which is not followed: it could carry the credentials elsewhere."""

    default_fix = "Set its URL to the final address, scheme included."
    default_outcome = "not_run"


class Unauthorized(LangflowError):
    """401: something in front of Langflow, or the token endpoint, wants other credentials."""

    default_fix = "Check the token, or the user and password, of the gateway in front of Langflow."
    default_outcome = "not_run"


class Forbidden(LangflowError):
    """403: Langflow's answer to a missing or wrong API key."""

    default_fix = "Check the API key; Langflow takes it in the header x-api-key only."
    default_outcome = "not_run"


class FlowNotFound(LangflowError):
    """404: no such flow for this user."""

    default_fix = "Check the flow's id or endpoint name (a flow's display name does not work), and whose key is used."
    default_outcome = "not_run"


class JobNotFound(LangflowError):
    """404: no such background job for this user."""

    default_fix = "Submit the call again; Langflow's retention may have removed the job."


class BadRequest(LangflowError):
    """The request can't be served as it is: another 4xx, or refused on this side before it was sent."""

    default_fix = "Fix the request first; retrying it unchanged will fail again."
    default_outcome = "not_run"


class Conflict(BadRequest):
    """409: a name or endpoint name is taken, or the job is not in a state that allows this."""

    default_fix = "Choose another name, or look at the job's state."


class RateLimited(LangflowError):
    """429: too many requests; `retry_after` says for how many seconds, where the server does."""

    default_fix = "Wait, or lower the number of callers."
    default_retryable = True
    default_outcome = "not_run"


class ServerError(LangflowError):
    """5xx that is not a flow's failure."""

    default_retryable = True


class FlowFailed(LangflowError):
    """The flow ran and one of its components raised; `component` is its name, where Langflow tells."""

    default_fix = "Open the flow in Langflow and run the component there; sending again costs again."
    default_outcome = "failed"

    def __init__(self, cause: str, *, component: str | None = None, **details: Unpack[Details]) -> None:
        super().__init__(cause, **details)
        self.component = component


class JobLost(LangflowError):
    """Langflow will never finish this job: its worker died or dropped it, or it is stuck in the queue."""

    default_fix = "Submit the call again, with the same idempotency key: a job that failed or was stopped frees it."
    default_retryable = True
    default_outcome = "failed"


class JobCancelled(LangflowError):
    """The job was stopped, by this side or by someone in Langflow."""

    default_fix = "Submit the call again if nobody meant to stop it."
    default_outcome = "failed"


class JobSuspended(LangflowError):
    """The job waits for a human's decision and so has no answer yet."""

    default_fix = "List the pending requests of the flow and resume the job with a decision."


class CompletedWithoutOutput(LangflowError):
    """Langflow calls the run completed, and there is no output: a component's parameters failed to load."""

    default_fix = "Check the global variables that the flow's fields are bound to."
    default_outcome = "failed"


class TruncatedAnswer(LangflowError):
    """Langflow cut a text or a list of the answer."""

    default_fix = "Raise LANGFLOW_MAX_TEXT_LENGTH on the Langflow server."
    default_outcome = "failed"


class MalformedResponse(LangflowError):
    """The response is not what Langflow's API says: no JSON, no object, too large, cut off or contradicting itself."""

    default_fix = "Check that the base URL is Langflow's and not a login page's, and Langflow's version."
