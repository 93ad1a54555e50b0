"""The schedule of a flow's asset."""

from collections.abc import Iterator, Mapping

import dagster as dg

from dagma import environment
from dagma.components.flow_asset import FlowAsset


def schedule_of(asset: FlowAsset, metadata: Mapping[str, str] | None = None) -> dg.ScheduleDefinition:
    """Make the schedule that materializes a flow's asset.

    Its time zone is `DAGMA_TIMEZONE`; whether it is on until somebody switches it, `DAGMA_SCHEDULES_RUNNING` says.

    Args:
        asset: The asset.
        metadata: Metadata of the schedule.

    Raises:
        DagsterInvalidDefinitionError: The schedule is no cron expression.
    """
    running = environment.flag("DAGMA_SCHEDULES_RUNNING", default=False)
    partitions = asset.spec.partitions_def

    def requests(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        if partitions is None:
            yield dg.RunRequest()
        elif isinstance(partitions, dg.TimeWindowPartitionsDefinition):
            with dg.partition_loading_context(effective_dt=context.scheduled_execution_time):
                latest = partitions.get_last_partition_key()
            yield from [dg.RunRequest(partition_key=latest)] if latest else []
        else:
            store = context.instance if isinstance(partitions, dg.DynamicPartitionsDefinition) else None
            for key in partitions.get_partition_keys(dynamic_partitions_store=store):
                # A key of its own for each run of each time: Dagster launches one of those with the same key.
                yield dg.RunRequest(run_key=f"{context.scheduled_execution_time}: {key}", partition_key=key)

    return dg.ScheduleDefinition(
        name=f"{asset.spec.key.to_python_identifier()}_schedule",
        target=dg.AssetSelection.assets(asset.spec.key),
        cron_schedule=str(asset.schedule),
        execution_timezone=environment.text("DAGMA_TIMEZONE", default="UTC"),
        execution_fn=requests,
        description=f"Materializes {asset.name}.",
        metadata=metadata,
        default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
    )
