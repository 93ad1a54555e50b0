"""When calls are made: the job of the asset, and its daily schedule."""

import zoneinfo

import dagster as dg

from dagma import environment
from dagma.defs.llm.assets import langflow_run_flow

langflow_run_flow_job = dg.define_asset_job(
    "langflow_run_flow_job",
    selection=[langflow_run_flow],
    description="Sends one input to a Langflow flow and materializes the answer.",
)


def daily_schedule_from_environment() -> dg.ScheduleDefinition:
    """Configure the daily schedule.

    From `LANGFLOW_SCHEDULE_CRON`, `LANGFLOW_SCHEDULE_INPUT`, `DAGMA_TIMEZONE` and `DAGMA_SCHEDULES_RUNNING`.
    """
    cron = environment.text("LANGFLOW_SCHEDULE_CRON", default="0 2 * * *")
    timezone = environment.text("DAGMA_TIMEZONE", default="UTC")
    if timezone not in zoneinfo.available_timezones():
        raise environment.SettingError(
            f"DAGMA_TIMEZONE is {timezone!r}. Set it to an IANA name, such as Europe/Berlin."
        )
    asked = environment.text("LANGFLOW_SCHEDULE_INPUT")
    config = {"ops": {langflow_run_flow.op.name: {"config": {"input_value": asked}}}} if asked else None
    running = environment.flag("DAGMA_SCHEDULES_RUNNING", default=False)
    try:
        return dg.ScheduleDefinition(
            name="run_langflow_daily",
            job=langflow_run_flow_job,
            cron_schedule=cron,
            execution_timezone=timezone,
            run_config=config,
            description=f"Sends {'LANGFLOW_SCHEDULE_INPUT' if asked else 'the default input'} to the default flow.",
            default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
        )
    except dg.DagsterInvalidDefinitionError as error:
        raise environment.SettingError(
            f"LANGFLOW_SCHEDULE_CRON is {cron!r}. Set it to minute, hour, day, month and weekday, such as '0 2 * * *'."
        ) from error
