"""The shipped asset without the shipped executor: Dagster's default one starts a process per step."""

import dagster as dg

from dagma.backends.selection import backend_from_environment
from dagma.defs.llm.assets import langflow_run_flow

defs = dg.Definitions(
    assets=[langflow_run_flow],
    jobs=[dg.define_asset_job("langflow_run_flow_job", selection=[langflow_run_flow])],
    resources={"backend": backend_from_environment()},
)
