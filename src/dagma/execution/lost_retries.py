"""Retries that Dagster's daemon gave up on because the code server did not answer.

The daemon retries a failed run at once. Where it can't reach the code server in that moment, such as in the middle of a
redeploy, it writes "Failed to retry run" into the run's log, takes the tag that promised a retry back, and never looks
at the run again (Dagster 1.13). A sensor is evaluated by the code server itself: whenever this one is, a retry works
again.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.storage.tags import (
    AUTO_RETRY_RUN_ID_TAG,
    BACKFILL_ID_TAG,
    RETRY_NUMBER_TAG,
    RETRY_STRATEGY_TAG,
    RUN_FAILURE_REASON_TAG,
    WILL_RETRY_TAG,
)

from dagma.execution.webserver import LaunchRefusedError, Webserver

# What Dagster's daemon writes into the log of such a run.
GIVEN_UP = "Failed to retry run"
STRATEGIES = ("FROM_FAILURE", "FROM_ASSET_FAILURE", "ALL_STEPS")
"""What to execute, in Dagster's words; where a run's tag says something else, the first."""
# Set right before a launch. As long as it is young, that launch may still be under way.
CLAIM_TAG = "dagma/lost_retry"
CLAIM_AGE = timedelta(minutes=3)
# How often Dagster refused to launch the retry. Most causes stay, but not all, such as a database that was away.
REFUSALS_TAG = "dagma/retry_refused"
MAX_REFUSALS = 3
# How far the first evaluation looks back, and how far each one looks before the last.
FIRST_LOOK = timedelta(hours=24)
OVERLAP = timedelta(minutes=5)
# When an evaluation launches nothing more: Dagster gives it up after 60 seconds, and begins the next beside it.
LAUNCHING_SECONDS = 20.0


def retry_lost_runs(context: dg.SensorEvaluationContext, webserver: Webserver) -> dg.SkipReason:
    """Launch the retries that were given up and are still due, as the daemon would have.

    An evaluation that fails, or leaves a retry to the next one, does not move the cursor.

    Returns:
        What became of each.

    Raises:
        WebserverError: A retry was not launched, or that is not known. It is raised once the others are launched.
    """
    instance = context.instance
    started, deadline = datetime.now(UTC), time.monotonic() + LAUNCHING_SECONDS
    since = datetime.fromisoformat(context.cursor) - OVERLAP if context.cursor else started - FIRST_LOOK
    told: list[str] = []
    left: list[str] = []
    errors: list[Exception] = []
    for run, number in _find(instance, since):
        if _is_claimed(run) or time.monotonic() > deadline:
            left.append(run.run_id)
            continue
        try:
            told.append(_retry(instance, webserver, run, number))
        except Exception as error:  # noqa: BLE001 (the others are launched all the same)
            errors.append(error)
    if errors:
        raise errors[0]
    if left:
        told.append(f"Left for the next evaluation: {', '.join(left)}.")
    else:
        context.update_cursor(started.isoformat())
    return dg.SkipReason(" ".join(told) or "No retry was lost.")


def _find(instance: dg.DagsterInstance, since: datetime) -> Iterator[tuple[dg.DagsterRun, int]]:
    """Yield the failed runs that have changed since and whose retry was given up, and which retry that is, from 1."""
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "false"}, updated_after=since)
    for found in instance.get_runs(filters):
        run = instance.get_run_by_id(found.run_id)  # anew: launching the others takes a while
        if run is None or AUTO_RETRY_RUN_ID_TAG in run.tags or _refusals(run) >= MAX_REFUSALS:
            continue
        if not _is_due(instance, run) or not _was_given_up(instance, run):
            continue
        _, group = instance.get_run_group(run.run_id) or ("", [run])
        group = list(group)
        if not any(other.parent_run_id == run.run_id for other in group):
            yield run, len(group)


def _retry(instance: dg.DagsterInstance, webserver: Webserver, run: dg.DagsterRun, number: int) -> str:
    """Launch a retry, and say what became of it."""
    if run.remote_job_origin is not None:
        webserver = webserver.at(run.remote_job_origin.repository_origin.code_location_origin.location_name)
    webserver.check_location()  # before the claim, which would hold up a retry that was never asked for
    _set_own(instance, run, CLAIM_TAG, datetime.now(UTC).isoformat())
    asked = run.tags.get(RETRY_STRATEGY_TAG)
    strategy = asked if asked in STRATEGIES else STRATEGIES[0]
    try:
        new_run_id = webserver.retry(run.run_id, strategy, {RETRY_NUMBER_TAG: str(number)})
    except LaunchRefusedError as error:
        _note_refusal(instance, run, error)
        return f"The retry of run {run.run_id} was refused."
    instance.add_run_tags(run.run_id, {AUTO_RETRY_RUN_ID_TAG: new_run_id, WILL_RETRY_TAG: "true"})
    instance.report_engine_event(f"The code server answers again: retried as run {new_run_id}.", run)
    return f"Run {run.run_id} is retried as run {new_run_id}."


def _note_refusal(instance: dg.DagsterInstance, run: dg.DagsterRun, error: LaunchRefusedError) -> None:
    refusals = _refusals(run) + 1
    _set_own(instance, run, REFUSALS_TAG, str(refusals))
    _set_own(instance, run, CLAIM_TAG, "")  # nothing is under way
    is_last = refusals == MAX_REFUSALS
    ending = "It is not tried again: re-execute the run yourself." if is_last else "It is tried again."
    instance.report_engine_event(f"The lost retry of this run was refused. {error} {ending}", run)


def _is_claimed(run: dg.DagsterRun) -> bool:
    claimed_at = _own(run, CLAIM_TAG)
    return bool(claimed_at) and datetime.now(UTC) - datetime.fromisoformat(str(claimed_at)) < CLAIM_AGE


def _refusals(run: dg.DagsterRun) -> int:
    return int(_own(run, REFUSALS_TAG) or 0)


def _set_own(instance: dg.DagsterInstance, run: dg.DagsterRun, tag: str, value: str) -> None:
    instance.add_run_tags(run.run_id, {tag: f"{value} {run.run_id}"})


def _own(run: dg.DagsterRun, tag: str) -> str | None:
    """Give a tag's value, unless the run inherited it from the run that it retries."""
    value, _, run_id = run.tags.get(tag, "").partition(" ")
    return value if run_id == run.run_id else None


def _is_due(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    reason = run.tags.get(RUN_FAILURE_REASON_TAG)
    if not auto_reexecution_should_retry_run(instance, run, RunFailureReason(reason) if reason else None):
        return False
    backfill = instance.get_backfill(run.tags[BACKFILL_ID_TAG]) if BACKFILL_ID_TAG in run.tags else None
    return backfill is None or backfill.status not in (BulkActionStatus.CANCELING, BulkActionStatus.CANCELED)


def _was_given_up(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return any(entry.dagster_event is not None and entry.dagster_event.message == GIVEN_UP for entry in entries)
