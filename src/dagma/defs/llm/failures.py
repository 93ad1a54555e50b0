"""What becomes of a call without an answer: a retry of the step, or its failure."""

import random
from typing import Any, NoReturn

import dagster as dg

from dagma.langflow import LangflowError

# Together they outlast a restart of Langflow, which takes up to two minutes.
MAX_RETRIES = 6
FIRST_WAIT_SECONDS = 4.0
MAX_WAIT_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 600.0


def retry_or_fail(error: LangflowError, *, retry_number: int, metadata: dict[str, Any]) -> NoReturn:
    """Ask Dagster to run the step again where that may help and can't run the flow twice; fail it for good otherwise.

    An asset's RetryPolicy would do neither: it retries what can't succeed, it doesn't know what the server asked for,
    and it turns a user's cancel into a retry.

    Args:
        error: Why there is no answer.
        retry_number: How many times the step was retried already.
        metadata: What else to show beside the failure.

    Raises:
        RetryRequested: The request never ran the flow, and may succeed later.
        Failure: Everything else; it is never retried.
    """
    wait = seconds_until_retry(error, retry_number)
    is_free = error.retryable and error.outcome == "not_run"
    if is_free and retry_number < MAX_RETRIES and wait <= MAX_RETRY_AFTER_SECONDS:
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=wait) from error
    raise dg.Failure(
        description=f"{type(error).__name__}: {error}",
        metadata={
            "error": type(error).__name__,
            "cause": error.cause,
            "mend": error.mend,
            "may_have_run": error.outcome != "not_run",
            **({"http_status": error.status} if error.status is not None else {}),
            **metadata,
        },
        allow_retries=False,
    ) from error


def seconds_until_retry(error: LangflowError, retry_number: int) -> float:
    """Wait as long as the server asks, else twice as long each time up to a cap; with jitter, to spread callers."""
    if error.retry_after is not None:
        return error.retry_after + random.uniform(0, 1)  # noqa: S311  # spreads callers, protects nothing
    return min(FIRST_WAIT_SECONDS * 2.0**retry_number, MAX_WAIT_SECONDS) * random.uniform(0.5, 1)  # noqa: S311
