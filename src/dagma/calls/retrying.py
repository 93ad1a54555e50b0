"""What becomes of a call without an answer: a retry of the step, or its failure."""

import time
from typing import Any, NoReturn

import dagster as dg

from dagma.calls.call_policy import CallPolicy
from dagma.calls.durable_call import JobOutOfReachError
from dagma.langflow import FlowFailed, JobLost, LangflowError
from dagma.ledger import CallInFlightError, LedgerError, LedgerUnavailableError, QuotaExceededError

CALL_ERRORS = (LangflowError, LedgerError)
"""What `run_flow` raises."""


def retry_or_fail(
    error: LangflowError | LedgerError,
    *,
    retry_number: int,
    metadata: dict[str, Any],
    policy: CallPolicy | None = None,
) -> NoReturn:
    """Wait, and have Dagster run the step again, where that may help and can't run the flow twice; fail it otherwise.

    An asset's RetryPolicy would do neither: it retries what can't succeed, it doesn't know what the server asked for,
    and it turns a user's cancel into a retry.

    Args:
        error: Why there is no answer.
        retry_number: How many times the step was retried already.
        metadata: What else to show beside the failure.
        policy: How often to retry, and after which waits: the backend's `policy`. The defaults if it is None.

    Raises:
        RetryRequested: The call was not sent, or failed for a cause that may pass, or goes on as a job.
        Failure: Everything else; it is never retried.
    """
    policy = policy or CallPolicy()
    asked = error.retry_after if isinstance(error, LangflowError) else None
    is_soon = asked is None or asked <= policy.longest_retry_after_seconds
    if is_free_to_retry(error) and retry_number < policy.step_retries and is_soon:
        wait = policy.step_backoff.seconds(retry_number + 1, asked)
        wait_for_retry(error, wait)
        raise dg.RetryRequested(max_retries=policy.step_retries) from error
    raise dg.Failure(
        description=f"{type(error).__name__}: {error}",
        metadata={"error": type(error).__name__, **_describe(error), **metadata},
        allow_retries=False,
    ) from error


def is_free_to_retry(error: LangflowError | LedgerError) -> bool:
    """Whether the step may be retried without paying for an answer twice, and may succeed then.

    A flow that failed has no answer to pay for twice: it is sent again where its cause may pass, such as a model server
    that was down.
    """
    if isinstance(error, LedgerError):
        return isinstance(error, LedgerUnavailableError | CallInFlightError)
    if isinstance(error, JobLost):
        return False  # the call path has sent it again as often as it may
    return error.retryable and (error.outcome == "not_run" or isinstance(error, FlowFailed | JobOutOfReachError))


def wait_for_retry(error: LangflowError | LedgerError, seconds: float) -> None:
    """Wait inside the step: Dagster's own wait for a retry hears no cancel and no shutdown before it is over.

    Args:
        error: Why there is no answer yet. A job that may go on is ended if the run is cancelled meanwhile.
        seconds: How long to wait.
    """
    try:
        dg.get_dagster_logger().info("The step is retried in %.1f s: %s", seconds, type(error).__name__)
        time.sleep(seconds)
    except BaseException:
        if isinstance(error, JobOutOfReachError):
            error.end_or_leave()
        raise


def _describe(error: LangflowError | LedgerError) -> dict[str, Any]:
    if isinstance(error, LangflowError):
        return {
            "cause": error.cause,
            "fix": error.fix,
            "may_have_run": error.outcome != "not_run",
            **({"http_status": error.status} if error.status is not None else {}),
        }
    if isinstance(error, QuotaExceededError):
        return {
            "cause": str(error),
            "limit": error.limit,
            "used": float(error.used),
            "needed": float(error.needed),
            "frees_at": dg.MetadataValue.timestamp(error.frees_at),
            "may_have_run": False,
        }
    return {"cause": str(error)}
