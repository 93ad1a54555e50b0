"""Jobs of runs that were cancelled while no worker had them: nobody else would stop them.

A cancel is carried out by the worker that has the run. Where that worker is dead, or where the run is a retry that
waits in the queue, the job that the run before has submitted would go on, and be paid for.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.tags import ROOT_RUN_ID_TAG

from dagma.calls.call_backend import CallBackend, Jobs
from dagma.calls.durable_call import JobEnd, RunningJob
from dagma.calls.request import retry_chain
from dagma.langflow import JobNotFound
from dagma.ledger import Begun
from dagma.ledger.ledger_settings import ledger_from_environment

# Not that of the sensor's context, with which Dagster makes a file for each evaluation.
logger = logging.getLogger(__name__)

# Older cancels are not looked at, also where every evaluation since has failed.
OLDEST = timedelta(hours=24)
# How old a cancel has to be: a worker that has the run all the same stops its jobs by then.
YOUNGEST = timedelta(seconds=10)


@dataclass(frozen=True)
class LeftoverJob:
    """A job that goes on although its run is cancelled.

    Attributes:
        run: The cancelled run.
        run_ids: The runs whose calls it shares.
        begun: The job's call, as the ledger knows it.
        backend: What runs the job.
        jobs: The backend's jobs.
        instance: Where the run's log is.
    """

    run: dg.DagsterRun
    run_ids: list[str]
    begun: Begun
    backend: CallBackend
    jobs: Jobs
    instance: dg.DagsterInstance

    @property
    def run_id(self) -> str:
        """The cancelled run."""
        return self.run.run_id

    def settle(self) -> str | None:
        """End the job, and tell the run's log.

        Returns:
            What became of it; None where the ledger does not say so yet.

        Raises:
            LangflowError: It may go on, or how it had ended is not recorded.
            LedgerError: Its end is not recorded.
        """
        ledger = ledger_from_environment()
        job_id = self.begun.job_id or ""
        end = _end(RunningJob(self.jobs.quick, job_id, self.begun, ledger, self.backend.read, logger))
        submitted = ledger.submitted_jobs(self.run_ids, self.backend.backend_name)
        if any(self.begun.call_id == begun.call_id for begun in submitted):
            if end.error is not None:
                raise end.error
            return None
        told = f"no worker has ended its call {self.begun.call_id}: job {job_id} {end.told}"
        self.instance.report_engine_event(f"The run was cancelled, and {told}", self.run)
        return f"Job {job_id} {end.told}"


def find_leftover_jobs(
    instance: dg.DagsterInstance,
    open_backend: Callable[[], AbstractContextManager[CallBackend]],
    since: datetime,
) -> Iterator[LeftoverJob]:
    """Find the jobs of cancelled runs that nobody has ended, and that no other run will collect.

    Args:
        instance: Where runs are stored.
        open_backend: Gives what answers calls, once there is something to stop; the jobs of others are left alone.
        since: Runs that have not changed since then are left out.

    Yields:
        Each job; its backend is closed when the next one is asked for.
    """
    for run, run_ids in _cancelled_runs(instance, since):
        with open_backend() as backend:
            jobs = backend.jobs()
            if jobs is None:
                return
            seen: set[str] = set()
            while found := _unseen(run_ids, backend, seen):
                for begun in found:
                    seen.add(begun.call_id)
                    yield LeftoverJob(run, run_ids, begun, backend, jobs, instance)


def _unseen(run_ids: list[str], backend: CallBackend, seen: set[str]) -> list[Begun]:
    """Read what the ledger lists now: it lists a hundred at a time."""
    submitted = ledger_from_environment().submitted_jobs(run_ids, backend.backend_name)
    return [begun for begun in submitted if begun.call_id not in seen]


def _cancelled_runs(instance: dg.DagsterInstance, since: datetime) -> Iterator[tuple[dg.DagsterRun, list[str]]]:
    """Find each cancelled run that may have left jobs, with the ids of the runs whose calls it shares."""
    now = datetime.now(UTC)
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELED], updated_after=max(since, now - OLDEST))
    for record in instance.get_run_records(filters):
        run = record.dagster_run
        has_called = record.start_time is not None or run.parent_run_id is not None
        if not has_called or _cancelled_at(record) > now - YOUNGEST:
            continue
        run_ids = retry_chain(run, instance)
        if ledger_from_environment().submitted_jobs(run_ids) and _is_last(record, run_ids[-1], instance):
            yield run, run_ids


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
