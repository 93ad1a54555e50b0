"""The shipped asset without the shipped executor: Dagster's default one starts a process per step."""

import dagster as dg

from dagma.defs.llm.assets import langflow_run_flow
from dagma.defs.llm.backends import backend_from_environment

defs = dg.Definitions(
    assets=[langflow_run_flow],
    jobs=[dg.define_asset_job("langflow_run_flow_job", selection=[langflow_run_flow])],
    resources={"backend": backend_from_environment()},
)
