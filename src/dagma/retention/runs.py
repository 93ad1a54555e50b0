"""Prunes Dagster's finished runs, with their events, compute logs and stored values.

What Dagster computes the present state from stays, however old: the run of the latest materialization and observation
of each asset and partition, of the latest evaluation of each check, and the last run of each of them if it failed. So
do runs that others refer to: those that a run in progress retries, and those of a backfill in progress.
"""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.tags import BACKFILL_ID_TAG

from dagma.retention.store_pruning import Pace, Pruned

RUNS_AT_ONCE = 50
RUNNING_BACKFILLS = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
OF_CHECKS = {dg.DagsterEventType.ASSET_CHECK_EVALUATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED}
DONE = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_OBSERVATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}
# What a run that failed leaves of what it did not get to. That of other runs tells nothing.
PLANNED = {dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED}


class RunPruner:
    """Deletes runs that ended before a number of days.

    Args:
        instance: Where the runs are.
        days: For how many days they are kept; 0 for ever.
        pace: How hard and how long it works.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        *,
        days: int,
        pace: Pace | None = None,
    ) -> None:
        self._instance = instance
        self._cutoff = datetime.now(UTC) - timedelta(days=days) if days else None
        self._pace = pace or Pace()

    def prune(self) -> Pruned:
        """Delete what is past its days, the oldest first."""
        if self._cutoff is None:
            return Pruned({}, kept_for_ever=True)
        filters = dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=self._cutoff)
        deleted = kept = 0
        # A cursor names a run that is still there: the last one that stays.
        cursor = None
        while self._pace.goes_on():
            records = self._instance.get_run_records(filters, RUNS_AT_ONCE, ascending=True, cursor=cursor)
            if not records:
                break
            # Anew for each batch: somebody may retry an old run meanwhile.
            retried, backfills = self._being_retried(), self._running_backfills()
            for record in records:
                run = record.dagster_run
                if _ended_at(record) >= self._cutoff:
                    cursor = run.run_id
                elif (
                    run.run_id in retried
                    or run.tags.get(BACKFILL_ID_TAG) in backfills
                    or self._has_something_latest(run)
                ):
                    kept += 1
                    cursor = run.run_id
                else:
                    deleted += 1
                    self._delete(run.run_id)
        return Pruned({"runs": deleted}, kept, is_complete=not self._pace.is_over)

    def _being_retried(self) -> set[str]:
        unfinished = self._instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
        return {each for run in unfinished for each in (run.root_run_id, run.parent_run_id) if each}

    def _running_backfills(self) -> set[str]:
        backfills = self._instance.get_backfills(BulkActionsFilter(statuses=RUNNING_BACKFILLS))
        return {backfill.backfill_id for backfill in backfills}

    def _has_something_latest(self, run: dg.DagsterRun) -> bool:
        kinds = DONE | PLANNED if run.status is dg.DagsterRunStatus.FAILURE else DONE
        records = self._instance.get_records_for_run(run.run_id, of_type=kinds).records
        return any(run.run_id in self._latest_runs(record.event_log_entry.get_dagster_event()) for record in records)

    def _latest_runs(self, event: dg.DagsterEvent) -> set[str]:
        """Find whose event is the latest of its kind, for the same asset and partition; nobody's if it was wiped."""
        storage = self._instance.event_log_storage
        if event.event_type in OF_CHECKS:
            of_check: Any = event.event_specific_data
            check = of_check.asset_check_key
            latest = storage.get_asset_check_summary_records([check])[check]
            records = (latest.last_check_execution_record, latest.last_completed_check_execution_record)
            return {each.run_id for each in records if each}
        if event.asset_key is None:
            return set()
        partitions = [event.partition] if event.partition is not None else None
        of_same = dg.EventRecordsFilter(event.event_type, event.asset_key, asset_partitions=partitions)
        return {each.run_id for each in storage.get_event_records(of_same, limit=1)}

    def _delete(self, run_id: str) -> None:
        self._instance.compute_log_manager.delete_logs(prefix=[run_id])
        # Outputs of ops; an asset's value has one place, which its next materialization writes again.
        shutil.rmtree(Path(self._instance.storage_directory()) / run_id, ignore_errors=True)
        storage = self._instance.event_log_storage
        if isinstance(storage, SqlEventLogStorage):
            # Dagster leaves them behind when it deletes a run.
            with storage.index_connection() as connection:
                connection.execute(
                    AssetCheckExecutionsTable.delete().where(AssetCheckExecutionsTable.c.run_id == run_id)
                )
        # Dagster deletes the run before its events, which nobody would find again were this ended in between.
        storage.delete_events(run_id)
        self._instance.delete_run(run_id)


def _ended_at(record: dg.RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp
