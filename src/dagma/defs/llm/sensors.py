"""What is left undone where no worker can do it: jobs of cancelled runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster_shared import check

from dagma.backends.backend import Backend
from dagma.calls.leftover_jobs import find_leftover_jobs

# How far the first evaluation looks back, and how far each one looks before the last.
FIRST_LOOK = timedelta(hours=24)
OVERLAP = timedelta(minutes=5)
# When an evaluation settles nothing more: Dagster gives it up after 60 seconds, and begins the next beside it.
SETTLING_SECONDS = 20.0


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Stops the jobs of runs that were cancelled while no worker had them.",
)
def cancelled_jobs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Stop the jobs that were left since the last evaluation; where one is left or fails, the cursor stays.

    Raises:
        Exception: What stopping one of them raised, once the others are stopped.
    """
    started, deadline = datetime.now(UTC), time.monotonic() + SETTLING_SECONDS
    since = datetime.fromisoformat(context.cursor) - OVERLAP if context.cursor else started - FIRST_LOOK
    settled: list[str] = []
    left: list[str] = []
    errors: list[Exception] = []
    for leftover in find_leftover_jobs(context.instance, lambda: _backend_of(context), since):
        try:
            became = leftover.settle() if time.monotonic() <= deadline else None
        except Exception as error:  # noqa: BLE001 (the others are settled all the same)
            errors.append(error)
            continue
        if became is None:
            left.append(leftover.run_id)
        else:
            settled.append(became)
    if errors:
        raise errors[0]
    if left:
        settled.append(f"Left for the next evaluation: {', '.join(dict.fromkeys(left))}.")
    else:
        context.update_cursor(started.isoformat())
    return dg.SkipReason(" ".join(settled) or "No cancelled run has left a job.")


@contextmanager
def _backend_of(context: dg.SensorEvaluationContext) -> Iterator[Backend]:
    """Make the resource `backend` of the definitions.

    As a resource of the sensor it would be made for each evaluation, and fail also those that have nothing to do where
    its settings can't be used.
    """
    resources = check.not_none(context.repository_def).get_top_level_resources()
    with dg.build_resources({"backend": resources["backend"]}, instance=context.instance) as made:
        yield made.backend
