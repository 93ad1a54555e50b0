"""The settings and the definitions, loaded as a code server loads them."""

import contextlib
import faulthandler
import importlib
import sys
from collections.abc import Callable
from functools import partial

import dagster as dg

from dagma import environment
from dagma.execution.load_errors import describe
from dagma.validation.setting_checks import setting_problems

LOCATIONS = ("dagma.definitions", "dagma.project_definitions")
"""The modules of the code locations."""

# More than a project takes on a busy machine, and less than a person waits.
LOAD_SECONDS = 120


def loading_problems() -> list[str]:
    """Read every setting, and load the definitions of every code location.

    A process that does not come to an end with it ends with exit code 1, and says on standard error where it was.

    Returns:
        A text for each setting that can't be used, and for each location that does not load, with its cause and place.
    """
    problems: list[str] = []
    readers: list[Callable[[], list[str]]] = [setting_problems]
    readers += [partial(_definition_problems, module) for module in LOCATIONS]
    faulthandler.dump_traceback_later(LOAD_SECONDS, exit=True, file=2)
    for read in readers:
        try:
            # What the project's code prints is not a problem.
            with contextlib.redirect_stdout(sys.stderr):
                problems += read()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the project's code may raise anything, also an exit
            problems.append(describe(error))
    faulthandler.cancel_dump_traceback_later()
    return list(dict.fromkeys(problems))


def _definition_problems(module: str) -> list[str]:
    # Definitions refuse bad settings themselves: those are told already.
    with contextlib.suppress(environment.SettingError):
        loaded: dg.Definitions = importlib.import_module(module).defs
        dg.Definitions.validate_loadable(loaded)
    return []
