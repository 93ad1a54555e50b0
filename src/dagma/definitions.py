"""Dagster's entry point."""

import dagster as dg

from dagma.defs.llm.assets import langflow_run_flow
from dagma.defs.llm.backends import backend_from_environment
from dagma.defs.llm.cancelled_jobs import cancelled_jobs
from dagma.defs.llm.schedules import daily_schedule_from_environment, langflow_run_flow_job
from dagma.defs.llm.stored_values import stored_values
from dagma.defs.retention import prune_job, prune_schedule_from_environment
from dagma.lost_retries import lost_retries
from dagma.validation.settings import refuse_bad_settings

# Told now, rather than by the first run.
refuse_bad_settings()

defs = dg.Definitions(
    assets=[langflow_run_flow],
    jobs=[langflow_run_flow_job, prune_job],
    schedules=[daily_schedule_from_environment(), prune_schedule_from_environment()],
    sensors=[lost_retries, cancelled_jobs],
    # What answers every call. DAGMA_BACKEND names another, and nothing else changes.
    resources={"backend": backend_from_environment(), "io_manager": stored_values},
    # Of every job, the UI's "Materialize" included: steps wait for HTTP, and a worker can't start processes.
    executor=dg.in_process_executor,
)
