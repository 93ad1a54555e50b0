"""Dagster's entry point."""

import dagster as dg

from dagma.defs.llm.assets import langflow_run_flow
from dagma.defs.llm.resources import resources_from_environment
from dagma.defs.llm.schedules import daily_schedule_from_environment, langflow_run_flow_job
from dagma.defs.llm.sensors import cancelled_jobs, lost_retries
from dagma.defs.retention import prune_job, prune_schedule_from_environment
from dagma.validation.setting_checks import refuse_bad_settings

# Told now, rather than by the first run.
refuse_bad_settings()

defs = dg.Definitions(
    assets=[langflow_run_flow],
    jobs=[langflow_run_flow_job, prune_job],
    schedules=[daily_schedule_from_environment(), prune_schedule_from_environment()],
    sensors=[lost_retries, cancelled_jobs],
    resources=resources_from_environment(),
    # Of every job, the UI's "Materialize" included: steps wait for HTTP, and a worker can't start processes.
    executor=dg.in_process_executor,
)
