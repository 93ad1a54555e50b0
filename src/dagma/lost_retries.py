"""Retries that Dagster's daemon gave up on because the code server did not answer.

The daemon retries a failed run at once. Where it can't reach the code server in that moment, such as in the middle of a
redeploy, it writes "Failed to retry run" into the run's log, takes the tag that promised a retry back, and never looks
at the run again (Dagster 1.13). A sensor is evaluated by the code server itself: whenever this one is, a retry works
again.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.storage.tags import (
    AUTO_RETRY_RUN_ID_TAG,
    RETRY_NUMBER_TAG,
    RETRY_STRATEGY_TAG,
    RUN_FAILURE_REASON_TAG,
    WILL_RETRY_TAG,
)

from dagma.webserver import Webserver

# What Dagster's daemon writes into the log of such a run.
GIVEN_UP = "Failed to retry run"
# How far the first evaluation looks back, and how far each one looks before the last.
FIRST_LOOK = timedelta(hours=24)
OVERLAP = timedelta(minutes=5)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Retries failed runs that Dagster could not retry because the code server did not answer.",
)
def lost_retries(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Retry what was given up since the last evaluation; one that fails half-way begins at the same point again."""
    started = datetime.now(UTC)
    since = datetime.fromisoformat(context.cursor) - OVERLAP if context.cursor else started - FIRST_LOOK
    retried = [retry(context.instance, run, number) for run, number in given_up(context.instance, since)]
    context.update_cursor(started.isoformat())
    return dg.SkipReason(f"Retried: {', '.join(retried)}." if retried else "No retry was lost.")


def given_up(instance: dg.DagsterInstance, since: datetime) -> list[tuple[dg.DagsterRun, int]]:
    """Find the runs whose retry was given up and is still due.

    Args:
        instance: Where runs are stored.
        since: Runs that have not changed since then are left out.

    Returns:
        Each run, with the number of its next retry.
    """
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "false"}, updated_after=since)
    found = []
    for run in instance.get_runs(filters):
        if AUTO_RETRY_RUN_ID_TAG in run.tags or not _is_due(instance, run) or not _was_given_up(instance, run):
            continue
        _, group = instance.get_run_group(run.run_id) or ("", [run])
        group = list(group)
        if not any(other.parent_run_id == run.run_id for other in group):
            found.append((run, len(group)))
    return found


def retry(instance: dg.DagsterInstance, run: dg.DagsterRun, number: int) -> str:
    """Launch the retry of a run, as the daemon would have.

    Args:
        instance: Where runs are stored.
        run: The failed run.
        number: Which retry this is, from 1.

    Returns:
        The id of the new run.

    Raises:
        WebserverError: It was not launched.
    """
    strategy = run.tags.get(RETRY_STRATEGY_TAG, "FROM_FAILURE")
    new_run_id = Webserver.from_environment().retry(run.run_id, strategy, {RETRY_NUMBER_TAG: str(number)})
    instance.add_run_tags(run.run_id, {AUTO_RETRY_RUN_ID_TAG: new_run_id, WILL_RETRY_TAG: "true"})
    instance.report_engine_event(f"The code server answers again: retried as run {new_run_id}.", run)
    return new_run_id


def _is_due(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    reason = run.tags.get(RUN_FAILURE_REASON_TAG)
    return bool(auto_reexecution_should_retry_run(instance, run, RunFailureReason(reason) if reason else None))


def _was_given_up(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return any(entry.dagster_event is not None and entry.dagster_event.message == GIVEN_UP for entry in entries)
