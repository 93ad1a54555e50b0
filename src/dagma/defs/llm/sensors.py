"""What is left undone where no daemon can do it: retries that were lost."""

import dagster as dg

from dagma.execution.lost_retries import retry_lost_runs
from dagma.execution.webserver import Webserver


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Retries failed runs that Dagster could not retry because the code server did not answer.",
)
def lost_retries(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Launch the retries that were given up since the last evaluation."""
    return retry_lost_runs(context, Webserver.from_environment())
