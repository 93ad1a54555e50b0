"""The definitions, loaded as a code server loads them."""

import contextlib
import importlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import dagster as dg

from dagma import environment
from dagma.execution.load_errors import describe

LOCATIONS = ("dagma.definitions", "dagma.project_definitions")
"""The modules of the code locations."""

# More than a project takes on a busy machine, and less than a person waits.
LOAD_SECONDS = 60


class LoadTimeoutError(BaseException):
    """Definitions took too long to load. Nothing that loads them catches it and tries again."""


def definition_problems(seconds: int = LOAD_SECONDS) -> list[str]:
    """Load the definitions of every code location.

    Args:
        seconds: How long each may take.

    Returns:
        A text for each that does not load, with its cause and its place; settings that can't be used are left to
        `setting_problems`.
    """
    problems: list[str] = []
    for module in LOCATIONS:
        try:
            # What the project's code prints is not a problem.
            with _time_limit(seconds), contextlib.redirect_stdout(sys.stderr):
                loaded: dg.Definitions = importlib.import_module(module).defs
                dg.Definitions.validate_loadable(loaded)
        except environment.SettingError:
            continue
        except (Exception, LoadTimeoutError, SystemExit) as error:  # noqa: BLE001  # the project's code may raise anything, also an exit
            problems.append(describe(error))
    return problems


@contextlib.contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """Interrupt code that does not come to an end; works in the main thread only."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise LoadTimeoutError(f"Loading was given up here after {seconds} s. Move what takes long into an asset.")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
