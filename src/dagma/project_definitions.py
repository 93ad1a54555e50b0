"""Dagster's entry point to the user's project: what stands in `project/defs`, and what it needs from this stack."""

from typing import Any

import dagster as dg

from dagma.defs.llm.backends import backend_from_environment
from dagma.defs.llm.stored_values import stored_values
from dagma.project import add_to_path, project_folder
from dagma.validation.settings import refuse_bad_settings


def with_defaults(project: dg.Definitions) -> dg.Definitions:
    """Add what the project lacks of the resources `backend` and `io_manager`, and of the executor that workers need.

    Raises:
        SettingError: A setting can't be used: told after the project was loaded, whose mistakes are told first.
    """
    refuse_bad_settings()
    defaults: dict[str, Any] = {"backend": backend_from_environment(), "io_manager": stored_values}
    resources = {name: resource for name, resource in defaults.items() if name not in (project.resources or {})}
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
