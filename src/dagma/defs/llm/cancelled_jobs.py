"""Jobs of runs that were cancelled while no worker had them: nobody else would stop them.

A cancel is carried out by the worker that has the run. Where that worker is dead, or where the run is a retry that
waits in the queue, the job that the run before has submitted would go on, and be paid for.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.tags import ROOT_RUN_ID_TAG
from dagster_shared import check

from dagma.backends.backend import Backend
from dagma.calls.caller import retry_chain
from dagma.calls.job_runner import Jobs
from dagma.calls.process_ledger import ledger_from_environment
from dagma.calls.running_job import JobEnd, RunningJob
from dagma.langflow import JobNotFound
from dagma.ledger import Begun

# How far an evaluation looks back: the first one and one after failures at most, the others before the last one.
FIRST_LOOK = timedelta(hours=24)
OVERLAP = timedelta(minutes=5)
# How old a cancel has to be: a worker that has the run all the same stops its jobs by then. The overlap is longer.
SETTLING = timedelta(seconds=10)
# When an evaluation stops nothing more: Dagster gives it up after 60 seconds, and begins the next beside it.
STOPPING_SECONDS = 20.0


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Stops the jobs of runs that were cancelled while no worker had them.",
)
def cancelled_jobs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Stop what was left since the last evaluation; one that leaves something to do begins there again."""
    started = datetime.now(UTC)
    since = started - FIRST_LOOK
    if context.cursor:
        since = max(since, datetime.fromisoformat(context.cursor) - OVERLAP)
    sweep = Sweep(context, time.monotonic() + STOPPING_SECONDS)
    for run, run_ids in abandoned(context.instance, since, started - SETTLING):
        with backend_of(context) as backend:
            jobs = backend.jobs()
            if jobs is None:
                context.update_cursor(started.isoformat())
                return dg.SkipReason(f"{backend.backend_name} has no jobs.")
            sweep.end_jobs(run, run_ids, backend, jobs)
    if sweep.errors:
        raise sweep.errors[0]
    if sweep.left:
        return dg.SkipReason(f"Left for the next evaluation: the jobs of {', '.join(sweep.left)}.")
    context.update_cursor(started.isoformat())
    return dg.SkipReason(f"Ended: {', '.join(sweep.ended)}." if sweep.ended else "No cancelled run has left a job.")


def abandoned(
    instance: dg.DagsterInstance, since: datetime, until: datetime
) -> Iterator[tuple[dg.DagsterRun, list[str]]]:
    """Find the cancelled runs with jobs that nobody has ended, and that no other run will collect.

    Args:
        instance: Where runs are stored.
        since: Runs that have not changed since then are left out.
        until: So are those that were cancelled later.

    Yields:
        Each run, with the ids of the runs whose calls it shares.
    """
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELED], updated_after=since)
    for record in instance.get_run_records(filters):
        run = record.dagster_run
        has_called = record.start_time is not None or run.parent_run_id is not None
        if not has_called or _cancelled_at(record) > until:
            continue
        run_ids = retry_chain(run, instance)
        if ledger_from_environment().submitted_jobs(run_ids) and _is_last(record, run_ids[-1], instance):
            yield run, run_ids


@contextmanager
def backend_of(context: dg.SensorEvaluationContext) -> Iterator[Backend]:
    """Make the resource `backend` of the definitions.

    As a resource of the sensor it would be made for each evaluation, and fail also those that have nothing to do where
    its settings can't be used.

    Args:
        context: Of the sensor's evaluation.

    Yields:
        The backend.
    """
    resources = check.not_none(context.repository_def).get_top_level_resources()
    with dg.build_resources({"backend": resources["backend"]}, instance=context.instance) as made:
        yield made.backend


@dataclass(frozen=True)
class Sweep:
    """Ends the jobs of one cancelled run after the other.

    Attributes:
        context: Of the sensor's evaluation.
        deadline: When nothing more is begun, in monotonic seconds.
        ended: The jobs whose end is recorded.
        left: The runs that have more of them.
        errors: Why, where ending them was tried.
    """

    context: dg.SensorEvaluationContext
    deadline: float
    ended: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def end_jobs(self, run: dg.DagsterRun, run_ids: list[str], backend: Backend, jobs: Jobs) -> None:
        """End the jobs of a run, and tell its log.

        Args:
            run: The cancelled run.
            run_ids: The runs whose calls it shares.
            backend: What answers calls; the jobs of others are left alone.
            jobs: Its jobs.
        """
        ledger = ledger_from_environment()
        ends: list[tuple[Begun, JobEnd]] = []
        for begun in ledger.submitted_jobs(run_ids, backend.backend_name):
            if time.monotonic() > self.deadline:
                break
            job = RunningJob(jobs.quick, begun.job_id or "", begun, ledger, backend.read, self.context.log)
            try:
                ends.append((begun, _end(job)))
            except Exception as error:  # noqa: BLE001 (the other jobs are stopped all the same)
                self.errors.append(error)
        left = {begun.call_id for begun in ledger.submitted_jobs(run_ids, backend.backend_name)}
        if left:
            self.left.append(run.run_id)
        for begun, end in ends:
            if begun.call_id not in left:
                self.ended.append(begun.job_id or "")
                told = f"no worker has ended its call {begun.call_id}: job {begun.job_id} {end.told}"
                self.context.instance.report_engine_event(f"The run was cancelled, and {told}", run)
            elif end.error is not None:
                self.errors.append(end.error)


def _cancelled_at(record: dg.RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp


def _is_last(record: dg.RunRecord, scope: str, instance: dg.DagsterInstance) -> bool:
    """Tell whether no run of the scope goes on or is newer: that one would decide what becomes of the jobs."""
    root = record.dagster_run.root_run_id or record.dagster_run.run_id
    # Not by `get_run_group`, which raises where the root has been deleted.
    group = [
        *instance.get_run_records(dg.RunsFilter(tags={ROOT_RUN_ID_TAG: root})),
        *instance.get_run_records(dg.RunsFilter(run_ids=[root])),
    ]
    return not any(
        (other.storage_id > record.storage_id or not other.dagster_run.is_finished)
        and retry_chain(other.dagster_run, instance)[-1] == scope
        for other in group
    )


def _end(job: RunningJob) -> JobEnd:
    try:
        return job.end()
    except JobNotFound as error:
        return JobEnd(f"can't be stopped: {job.judge(error)}", error)
