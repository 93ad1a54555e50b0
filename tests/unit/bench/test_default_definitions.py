from pathlib import Path

from dagster._core.workspace.autodiscovery import loadable_targets_from_python_file

FILE = Path(__file__).parents[2] / "bench" / "default_definitions.py"


def test_the_other_dagster_has_the_same_job_on_dagsters_default_executor() -> None:
    (target,) = loadable_targets_from_python_file(str(FILE))
    job = target.target_definition.resolve_job_def("langflow_run_flow_job")
    assert job.executor_def.name == "multi_or_in_process_executor"
    assert [node.name for node in job.nodes] == ["langflow_run_flow"]
