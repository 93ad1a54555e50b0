"""The settings and the definitions, loaded as a code server loads them."""

import contextlib
import importlib
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

import dagster as dg

from dagma import environment
from dagma.execution.load_errors import describe
from dagma.validation.setting_checks import setting_problems

LOCATIONS = ("dagma.definitions", "dagma.project_definitions")
"""The modules of the code locations."""

# More than a project takes on a busy machine, and less than a person waits.
LOAD_SECONDS = 60


class LoadTimeoutError(BaseException):
    """Definitions took too long to load. Nothing that loads them catches it and tries again."""


def loading_problems(seconds: int = LOAD_SECONDS) -> list[str]:
    """Read every setting, and load the definitions of every code location.

    Args:
        seconds: How long the settings may take, of which one can name a module of the project, and each location.

    Returns:
        A text for each setting that can't be used, and for each location that does not load, with its cause and place.
    """
    problems: list[str] = []
    readers: list[Callable[[], list[str]]] = [setting_problems]
    readers += [partial(_definition_problems, module) for module in LOCATIONS]
    for read in readers:
        try:
            # What the project's code prints is not a problem.
            with _time_limit(seconds), contextlib.redirect_stdout(sys.stderr):
                problems += read()
        except (Exception, LoadTimeoutError, SystemExit) as error:  # noqa: BLE001  # the project's code may raise anything, also an exit
            problems.append(describe(error))
    return list(dict.fromkeys(problems))


def _definition_problems(module: str) -> list[str]:
    # Definitions refuse bad settings themselves: those are told already.
    with contextlib.suppress(environment.SettingError):
        loaded: dg.Definitions = importlib.import_module(module).defs
        dg.Definitions.validate_loadable(loaded)
    return []


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
