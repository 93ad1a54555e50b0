"""Errors of loading, as a person needs them: the cause, and the line of their own file."""

import traceback
from collections.abc import Iterator
from pathlib import Path

from dagma.execution.yaml_faults import yaml_fault
from dagma.project import project_folder


class LoadTimeoutError(BaseException):
    """Definitions took too long to load. Nothing that loads them catches it and tries again."""


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
