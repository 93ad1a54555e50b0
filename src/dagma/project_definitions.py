"""Dagster's entry point to the user's project: what stands in `project/defs`, and what it needs from this stack."""

import re
from pathlib import Path

import dagster as dg
import yaml

from dagma.components.found_flows import without_flows_of_taken_names
from dagma.defs.llm.resources import resources_from_environment
from dagma.execution.load_errors import first_cause, yaml_fault
from dagma.project import add_to_path, project_folder
from dagma.validation.setting_checks import refuse_bad_settings

OWN_TYPE = re.compile(r"""^type:\s*['"]?dagma\.""", re.MULTILINE)


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


class ProjectError(Exception):
    """The project's files can't be loaded; the message states cause and fix."""


def load_project() -> dg.Definitions:
    """Load `project/defs`; where it is missing or empty, the project defines nothing."""
    folder = project_folder()
    if not _has_definitions(folder / "defs"):
        return dg.Definitions()
    add_to_path()
    try:
        return dg.load_from_defs_folder(path_within_project=folder)
    except Exception as error:
        # Dagster shows what stands beside the fault, also where that is a password.
        if (told := yaml_fault(first_cause(error))) is not None:
            raise ProjectError(told) from None
        raise


def _has_definitions(folder: Path) -> bool:
    """Tell whether there is Python or a component; refuse a component that would be left out, or leave out others."""
    files = [file for file in sorted(folder.rglob("*")) if file.suffix in (".py", ".yaml", ".yml")]
    components = [file for file in files if file.stem == "defs" and file.suffix != ".py"]
    for file in components:
        _refuse_bad_keys(file)
    for file in files:
        is_ours = file.suffix != ".py" and OWN_TYPE.search(file.read_text(encoding="utf-8", errors="replace"))
        if is_ours and file not in components:
            raise ProjectError(f"{file} is not loaded, since a component stands in 'defs.yaml'. Rename the file.")
        if is_ours and file.parent == folder and {*files} - {file, folder / "__init__.py"}:
            raise ProjectError(f"Nothing else is loaded beside {file}. Move it into a folder of its own.")
    return bool(components) or any(file.suffix == ".py" for file in files)


def _refuse_bad_keys(file: Path) -> None:
    """Refuse a key that is no text, such as `{{ row.text }}` without quotes: Dagster would name no file."""
    try:
        with file.open("rb") as content:
            list(yaml.safe_load_all(content))
    except yaml.constructor.ConstructorError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ProjectError(f"{file}:{line}: {error.problem}. Put text with {{{{ }}}} into quotes.") from None
    except yaml.YAMLError:
        pass  # Dagster tells it, with its place


defs = without_flows_of_taken_names(with_defaults(load_project()))
