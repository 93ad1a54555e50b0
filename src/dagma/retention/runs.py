"""Prunes Dagster's finished runs, with their events, compute logs and stored values.

What Dagster computes the present state from stays, however old: the run of the latest materialization and observation
of each asset and partition, of the latest evaluation of each check, and the last run of each asset. So do runs that
others refer to: those that a run in progress retries, and those of a backfill in progress.
"""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.tags import BACKFILL_ID_TAG

from dagma.retention.store_pruning import Pace, Pruned

RUNS_AT_ONCE = 50
RUNNING_BACKFILLS = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
EVENTS_OF_ASSETS = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_OBSERVATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}


class RunPruner:
    """Deletes runs that ended before a number of days.

    Args:
        instance: Where the runs are.
        days: For how many days they are kept; 0 for ever.
        pace: How hard and how long it works.
        dry_run: Only count.
        now: The time, aware.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        *,
        days: int,
        pace: Pace | None = None,
        dry_run: bool = False,
        now: datetime | None = None,
    ) -> None:
        self._instance = instance
        self._cutoff = (now or datetime.now(UTC)) - timedelta(days=days) if days else None
        self._pace = pace or Pace()
        self._dry_run = dry_run

    def prune(self) -> Pruned:
        """Delete what is past its days, the oldest first."""
        if self._cutoff is None:
            return Pruned({}, kept_for_ever=True)
        referred_to, backfills = self._referred_to(), self._running_backfills()
        filters = dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=self._cutoff)
        deleted = kept = 0
        # A cursor names a run that is still there: the last one that stays.
        cursor = None
        while self._pace.goes_on():
            records = self._instance.get_run_records(filters, RUNS_AT_ONCE, ascending=True, cursor=cursor)
            if not records:
                break
            for record in records:
                run = record.dagster_run
                if _ended_at(record) >= self._cutoff:
                    cursor = run.run_id
                elif (
                    run.run_id in referred_to
                    or run.tags.get(BACKFILL_ID_TAG) in backfills
                    or self._has_something_latest(run.run_id)
                ):
                    kept += 1
                    cursor = run.run_id
                else:
                    deleted += 1
                    if self._dry_run:
                        cursor = run.run_id
                    else:
                        self._delete(run.run_id)
        return Pruned({"runs": deleted}, kept, is_complete=not self._pace.is_over)

    def _referred_to(self) -> set[str]:
        unfinished = self._instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
        families = {each for run in unfinished for each in (run.root_run_id, run.parent_run_id) if each}
        assets = self._instance.event_log_storage.get_asset_records()
        return families | {asset.asset_entry.last_run_id for asset in assets if asset.asset_entry.last_run_id}

    def _running_backfills(self) -> set[str]:
        backfills = self._instance.get_backfills(BulkActionsFilter(statuses=RUNNING_BACKFILLS))
        return {backfill.backfill_id for backfill in backfills}

    def _has_something_latest(self, run_id: str) -> bool:
        records = self._instance.get_records_for_run(run_id, of_type=EVENTS_OF_ASSETS).records
        return any(self._is_latest(record, run_id) for record in records)

    def _is_latest(self, record: dg.EventLogRecord, run_id: str) -> bool:
        event = record.event_log_entry.get_dagster_event()
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data.asset_check_key
            history = self._instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
            return bool(history) and history[0].run_id == run_id
        if event.asset_key is None:
            return False
        partitions = [event.partition] if event.partition is not None else None
        of_same = dg.AssetRecordsFilter(event.asset_key, asset_partitions=partitions)
        is_materialization = event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
        fetch = self._instance.fetch_materializations if is_materialization else self._instance.fetch_observations
        newest = fetch(of_same, limit=1).records
        return not newest or newest[0].run_id == run_id

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
