"""Prunes Dagster's finished runs, with their events, compute logs and stored values.

What Dagster computes the present state from stays, however old: the run of the latest materialization and observation
of each asset and partition, and of the latest evaluation of each check.
"""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

RUNS_AT_ONCE = 50
OF_STATE = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_OBSERVATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}


def prune_runs(instance: dg.DagsterInstance, *, days: int) -> int:
    """Delete runs that ended before a number of days, the oldest first, and return how many.

    Args:
        instance: Where the runs are.
        days: For how many days they are kept; 0 for ever.
    """
    if not days:
        return 0
    cutoff = datetime.now(UTC) - timedelta(days=days)
    filters = dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=cutoff)
    deleted = 0
    # A cursor names a run that is still there: the last one that stays.
    cursor = None
    while records := instance.get_run_records(filters, RUNS_AT_ONCE, ascending=True, cursor=cursor):
        for record in records:
            run_id = record.dagster_run.run_id
            if _ended_at(record) >= cutoff or _has_something_latest(instance, run_id):
                cursor = run_id
            else:
                _delete(instance, run_id)
                deleted += 1
    return deleted


def _has_something_latest(instance: dg.DagsterInstance, run_id: str) -> bool:
    records = instance.get_records_for_run(run_id, of_type=OF_STATE).records
    return any(run_id in _latest_runs(instance, record.event_log_entry.get_dagster_event()) for record in records)


def _latest_runs(instance: dg.DagsterInstance, event: dg.DagsterEvent) -> set[str]:
    """Find whose event is the latest of its kind, for the same asset and partition; nobody's if it was wiped."""
    storage = instance.event_log_storage
    if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        of_check: Any = event.event_specific_data
        check = of_check.asset_check_key
        latest = storage.get_asset_check_summary_records([check])[check].last_completed_check_execution_record
        return {latest.run_id} if latest else set()
    if event.asset_key is None:
        return set()
    partitions = [event.partition] if event.partition is not None else None
    of_same = dg.EventRecordsFilter(event.event_type, event.asset_key, asset_partitions=partitions)
    return {each.run_id for each in storage.get_event_records(of_same, limit=1)}


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    # Outputs of ops; an asset's value has one place, which its next materialization writes again.
    shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        # Dagster leaves them behind when it deletes a run.
        with storage.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.delete().where(AssetCheckExecutionsTable.c.run_id == run_id))
    # Dagster deletes the run before its events, which nobody would find again were this ended in between.
    storage.delete_events(run_id)
    instance.delete_run(run_id)


def _ended_at(record: dg.RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp
