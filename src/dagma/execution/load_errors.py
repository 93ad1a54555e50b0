"""Errors of loading, as a person needs them: the cause, and the line of their own file.

Of a fault in YAML, the values are left out: one may be a password.
"""

import re
import traceback
from collections.abc import Iterator
from pathlib import Path

from dagster.components.resolved.errors import ResolutionException
from pydantic import ValidationError
from yaml import Mark, MarkedYAMLError

from dagma.project import project_folder

TYPES = ("str", "int", "float", "bool")
"""How pydantic names the types of an attribute that may have several."""
TYPE_PREFIX = re.compile(r"^(ValueError|dagster\.\S+): ")
"""The type of an error whose message says all of it."""


def describe(error: BaseException) -> str:
    """Tell an error in a line or two: its cause; for the project's code `project/file.py:line: Type: message`."""
    chain = list(_chain(error))
    # Our own errors say the cause themselves; Dagster's wrap it.
    fallback = error if type(error).__module__.startswith("dagma.") else chain[-1]
    cause = next((link for link in reversed(chain) if _place(link)), fallback)
    place = _place(cause)
    message = _message(cause)
    return f"{place}: {message}" if place else message


def first_cause(error: BaseException) -> BaseException:
    """Give what an error was raised from in the end."""
    return list(_chain(error))[-1]


def yaml_fault(error: BaseException) -> str | None:
    """Tell a fault that Dagster found in a YAML file, as `project/defs/a/defs.yaml:3: cause`; None for other errors."""
    told = "\n".join(_yaml_faults(error))
    return told.replace(str(project_folder()), "project") or None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, the first cause last."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _place(error: BaseException) -> str:
    """Name the last line of the project's files that an error passed through; empty where there is none."""
    folder = project_folder().resolve()
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(folder):
        return _name(Path(error.filename), folder, error.lineno)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(folder):
            return _name(Path(frame.filename), folder, frame.lineno)
    return ""


def _name(file: Path, folder: Path, line: int | None) -> str:
    return f"project/{file.relative_to(folder)}:{line or 1}"


def _message(error: BaseException) -> str:
    if (told := yaml_fault(error)) is not None:
        return told
    # Settings and Dagster say all of it in the message; of Python's own errors the type is half of it.
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    lines = [line for line in text.splitlines() if "https://errors.pydantic.dev" not in line]
    text = "\n".join(lines).replace(str(project_folder()), "project")
    is_ours = type(error).__module__.startswith(("dagma.", "dagster"))
    return text if is_ours and text else f"{type(error).__name__}: {text}".rstrip(": ")


def _yaml_faults(error: BaseException) -> Iterator[str]:
    match error:
        case ValidationError():
            yield from _attribute_faults(error)
        case MarkedYAMLError() if (mark := _mark(error)) is not None:
            yield f"{mark.name}:{mark.line + 1}: {', '.join(filter(None, (error.context, error.problem)))}"
        case ResolutionException():
            # The place and the attribute first, then the lines of the file, then what was raised.
            first, *_, cause = [line for line in str(error).splitlines() if line.strip()] or [""]
            place, divider, attribute = first.partition(" - ")
            if divider:
                yield f"{place}: {attribute.removeprefix('attributes.')}: {TYPE_PREFIX.sub('', cause)}"


def _mark(error: MarkedYAMLError) -> Mark | None:
    """Give the problem's place, but the start of a text that has no end, and of a key without a colon."""
    starts_the_fault = any(word in (error.context or "") for word in ("quoted scalar", "simple key"))
    return error.context_mark if starts_the_fault else error.problem_mark


def _attribute_faults(error: ValidationError) -> Iterator[str]:
    """Yield one fault for each attribute: of the types that it may have, the one that fits best."""
    faults: dict[tuple[str, str], list[tuple[bool, list[str], str]]] = {}
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        path, divider, place = str(fault["loc"][0]).rpartition(" at ") if fault["loc"] else ("", "", "")
        if not divider:
            return  # of something else than a file
        parts = path.removeprefix("attributes.").split(".")
        is_ours = fault["type"] == "value_error"
        faults.setdefault((place, parts[0]), []).append((is_ours, parts, fault["msg"].removeprefix("Value error, ")))
    for (place, _), told in faults.items():
        _, parts, message = max(told, key=lambda each: (each[0], len(each[1])))
        # Between the names stand pydantic's types, such as `dict[str,FlowSettingsModel]`.
        names = [part for part in parts if not ("[" in part or part in TYPES or part.endswith(("Model", "Rows")))]
        yield f"{place}: {'.'.join(names)}: {message}"
