"""Faults of a component's file: their line and cause, without the values, of which one may be a password."""

from collections.abc import Iterator

from dagster.components.resolved.errors import ResolutionException
from pydantic import ValidationError
from yaml import MarkedYAMLError

from dagma.project import project_folder

TYPES = ("str", "int", "float", "bool")
"""How pydantic names the types of an attribute that may have several."""


def yaml_fault(error: BaseException) -> str | None:
    """Tell a fault that Dagster found in a YAML file, as `project/defs/a/defs.yaml:3: cause`; None for other errors."""
    told = "\n".join(_told(error))
    return told.replace(str(project_folder()), "project") or None


def _told(error: BaseException) -> Iterator[str]:
    match error:
        case ValidationError():
            yield from _of_attributes(error)
        case MarkedYAMLError() if (mark := error.context_mark or error.problem_mark) is not None:
            yield f"{mark.name}:{mark.line + 1}: {', '.join(filter(None, (error.context, error.problem)))}"
        case ResolutionException():
            # The place and the attribute first, then the lines of the file, then what was raised.
            first, *_, cause = [line for line in str(error).splitlines() if line.strip()] or [""]
            place, divider, attribute = first.partition(" - ")
            if divider:
                yield f"{place}: {attribute.removeprefix('attributes.')}: {cause.removeprefix('ValueError: ')}"


def _of_attributes(error: ValidationError) -> Iterator[str]:
    """Yield one fault for each attribute: of the types that it may have, the one that fits best."""
    faults: dict[tuple[str, str], list[tuple[bool, list[str], str]]] = {}
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        path, divider, place = str(fault["loc"][0]).rpartition(" at ") if fault["loc"] else ("", "", "")
        if not divider:
            return  # of something else than a file
        parts = path.removeprefix("attributes.").split(".")
        is_ours = fault["type"] == "value_error"
        faults.setdefault((place, parts[0]), []).append((is_ours, parts, fault["msg"].removeprefix("Value error, ")))
    for (place, attribute), told in faults.items():
        is_ours, parts, message = max(told, key=lambda each: (each[0], len(each[1])))
        names_more = not is_ours and parts[-1] not in (attribute, *TYPES)
        yield f"{place}: {attribute}{f', {parts[-1]}' if names_more else ''}: {message}"
