"""Objects named by where they are: `package.module:attribute`."""

import pkgutil
from typing import Any

from dagma.environment import SettingError
from dagma.project import add_to_path


def load_target(target: str) -> Any:
    """Import what a target names, which may stand in the user's project; a SettingError if it can't be had."""
    add_to_path()
    try:
        if not target.partition(":")[2]:
            raise ValueError("it names no attribute of a module")
        return pkgutil.resolve_name(target)
    except (AttributeError, ImportError, ValueError) as error:
        raise SettingError(
            f"{target!r} can't be imported: {error}. Write package.module:attribute, and put the module into project/, "
            "or its package into project/requirements.txt; then `make up`."
        ) from error
