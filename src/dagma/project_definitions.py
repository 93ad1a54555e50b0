"""Dagster's entry point to the user's project: what stands in `project/defs`, and what it needs from this stack."""

import re
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import yaml

from dagma.components.found_flows import without_flows_of_taken_names
from dagma.defs.llm.resources import resources_from_environment
from dagma.execution.load_errors import first_cause, yaml_fault
from dagma.project import add_to_path, project_folder
from dagma.validation.setting_checks import refuse_bad_settings

MERGE = "tag:yaml.org,2002:merge"
COMPONENTS = ("Flows", "FlowTable")
OWN_TYPE = re.compile(r"""^type:\s*['"]?dagma\.(?P<name>\w+)['"]?\s*(?:\#.*)?$""", re.MULTILINE)


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
    """Tell whether there is Python or a component; refuse YAML that is none."""
    components = sorted(folder.rglob("defs.y*ml"))
    for file in components:
        _check_component(file)
    is_defined = bool(components) or any(folder.rglob("*.py"))
    for file in sorted({*folder.rglob("*.y*ml")} - {*components}):
        if not is_defined or OWN_TYPE.search(file.read_text(encoding="utf-8", errors="replace")):
            raise ProjectError(f"{file} is not loaded: only defs.yaml holds components. Rename the file.")
    return is_defined


def _check_component(file: Path) -> None:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ProjectError(f"{file}:{line}: The file is not in UTF-8. Save it as UTF-8.") from None
    if not any(line and not line.startswith("#") for line in map(str.strip, text.splitlines())):
        raise ProjectError(f"{file} is empty. Write a component into it (type: dagma.FlowTable ...), or delete it.")
    _refuse_bad_keys(file, text)
    for found in OWN_TYPE.finditer(text):
        if found["name"] not in COMPONENTS:
            place = f"{file}:{text.count(chr(10), 0, found.start()) + 1}"
            known = " and ".join(f"dagma.{name}" for name in COMPONENTS)
            raise ProjectError(f"{place}: There is no component dagma.{found['name']}, only {known}.")
        if "template_vars_module" not in text:
            _refuse_neighbours(file)


def _refuse_neighbours(file: Path) -> None:
    """Refuse what Dagster would leave out without a word: all else in the folder of a component."""
    for other in sorted(file.parent.rglob("*")):
        is_loaded = other.name in ("defs.yaml", "defs.yml") or (other.suffix == ".py" and other.name != "__init__.py")
        if is_loaded and other != file:
            raise ProjectError(f"{other} is not loaded, because {file} is beside it. Give {file.name} its own folder.")


def _refuse_bad_keys(file: Path, text: str) -> None:
    """Refuse a key that is no text, such as `{{ row.text }}` without quotes, or that stands twice in a mapping."""
    try:
        nodes = list(yaml.compose_all(text, yaml.SafeLoader))
    except yaml.YAMLError:
        return  # Dagster tells it, with its place
    seen: set[int] = set()  # an alias is the node itself, once more
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            nodes += [value for _, value in node.value]
            _refuse_bad_keys_of(file, [key for key, _ in node.value])


def _refuse_bad_keys_of(file: Path, keys: Sequence[yaml.Node]) -> None:
    """Refuse bad keys of one mapping: of a key that stands twice, YAML would take the last. It merges all of `<<`."""
    lines: dict[tuple[str, str], int] = {}
    for key in keys:
        name, line = (key.tag, key.value), key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ProjectError(f"{file}:{line}: A key is not a text. Put text with {{{{ }}}} into quotes.")
        if name in lines and key.tag != MERGE:
            raise ProjectError(f"{file}:{line}: {key.value!r} is in line {lines[name]} already. Delete one.")
        lines[name] = line


defs = without_flows_of_taken_names(with_defaults(load_project()))
