"""One run of the asset in a process of its own, to be killed: `python run_in_process.py INPUT`; prints the run's id."""

import sys

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from dagma.definitions import defs

job = defs.resolve_job_def("langflow_run_flow_job")
with dg.DagsterInstance.get() as instance:
    config = {"ops": {"langflow_run_flow": {"config": {"input_value": sys.argv[1]}}}}
    run = instance.create_run_for_job(job, run_config=config)
    print(run.run_id, flush=True)
    execute_run(InMemoryJob(job), run, instance)
