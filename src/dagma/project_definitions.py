"""Dagster's entry point to the user's project: what stands in `project/defs`, and what it needs from this stack."""

import dagster as dg

from dagma.defs.llm.resources import resources_from_environment
from dagma.project import add_to_path, project_folder
from dagma.validation.setting_checks import refuse_bad_settings


def with_defaults(project: dg.Definitions) -> dg.Definitions:
    """Add what the project lacks of the resources `backend` and `io_manager`, and of the executor that workers need.

    Raises:
        SettingError: A setting can't be used: told after the project was loaded, whose mistakes are told first.
    """
    refuse_bad_settings()
    own = project.resources or {}
    resources = {name: resource for name, resource in resources_from_environment().items() if name not in own}
    # A worker can't start processes, so a run executes its steps itself.
    executor = dg.in_process_executor if project.executor is None else None
    return dg.Definitions.merge(project, dg.Definitions(resources=resources, executor=executor))


def load_project() -> dg.Definitions:
    """Load `project/defs`; a project that is not there, or is empty, defines nothing."""
    folder = project_folder()
    if not folder.joinpath("defs").is_dir() or not any(folder.joinpath("defs").iterdir()):
        return dg.Definitions()
    add_to_path()
    return dg.load_from_defs_folder(path_within_project=folder)


defs = with_defaults(load_project())
