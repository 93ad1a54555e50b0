"""Objects named by where they are: `package.module:attribute`."""

import importlib
import re
from operator import attrgetter
from typing import Annotated, Any

from pydantic import AfterValidator

from dagma.project import add_to_path

TARGET = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


class TargetError(ValueError):
    """What `package.module:attribute` names can't be had; the message says why."""


def checked_target(target: str) -> str:
    """Return a target if it is written as one; nothing is imported.

    Raises:
        TargetError: It is not.
    """
    if not TARGET.fullmatch(target):
        raise TargetError(f"{target!r} names no object. Write package.module:attribute, such as my_flows.chains:qa.")
    return target


Target = Annotated[str, AfterValidator(checked_target)]
"""A target as the field of a backend."""


def load_target(target: str) -> Any:
    """Import what a target names, which may stand in the user's project.

    Raises:
        TargetError: There is no such module or attribute.
    """
    module_name, _, path = checked_target(target).partition(":")
    add_to_path()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise TargetError(
            f"{target!r} can't be imported: {error}. Put the module into project/, or its package into "
            "project/requirements.txt; then `make up`."
        ) from error
    try:
        return attrgetter(path)(module)
    except AttributeError as error:
        raise TargetError(f"{target!r} does not exist: {error}.") from None
