"""What is left undone where no worker and no daemon can do it: retries that were lost, and jobs of cancelled runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster_shared import check

from dagma.backends.backend import Backend
from dagma.calls.leftover_jobs import find_leftover_jobs
from dagma.execution.lost_retries import find_lost_retries
from dagma.execution.sweep import sweep
from dagma.execution.webserver import Webserver


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Retries failed runs that Dagster could not retry because the code server did not answer.",
)
def lost_retries(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Launch the retries that were given up since the last evaluation."""
    webserver = Webserver.from_environment()
    return sweep(
        context,
        lambda since: find_lost_retries(context.instance, webserver, since),
        nothing="No retry was lost.",
    )


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Stops the jobs of runs that were cancelled while no worker had them.",
)
def cancelled_jobs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Stop the jobs that were left since the last evaluation."""
    return sweep(
        context,
        lambda since: find_leftover_jobs(context.instance, lambda: _backend_of(context), since),
        nothing="No cancelled run has left a job.",
    )


@contextmanager
def _backend_of(context: dg.SensorEvaluationContext) -> Iterator[Backend]:
    """Make the resource `backend` of the definitions.

    As a resource of the sensor it would be made for each evaluation, and fail also those that have nothing to do where
    its settings can't be used.
    """
    resources = check.not_none(context.repository_def).get_top_level_resources()
    with dg.build_resources({"backend": resources["backend"]}, instance=context.instance) as made:
        yield made.backend
