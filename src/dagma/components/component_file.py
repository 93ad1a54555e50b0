"""The file of a component, for errors of what it declares."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from dagma.batches.errors import RowsError, TableError
from dagma.calls.attached_files import BadFile
from dagma.calls.templates import BadTemplateError
from dagma.project import project_folder


class ComponentError(ValueError):
    """What a component declares can't be used; the message begins with its file and line."""


@contextmanager
def naming_the_file(context: dg.ComponentLoadContext, asset: str | None = None) -> Iterator[None]:
    """Tell the file of a component, and its asset, where what it declares can't be used.

    Args:
        context: What Dagster loads the component with.
        asset: The asset's key, if the component has one.

    Raises:
        ComponentError: Something can't be used.
    """
    try:
        yield
    except (RowsError, TableError, BadTemplateError, BadFile) as error:
        what = f"{asset}: " if asset else ""
        raise ComponentError(f"{_place(context, str(error))}: {what}{error}") from None


def _place(context: dg.ComponentLoadContext, message: str) -> str:
    """Name the file, as people know it, and, where Dagster tells lines, that of the attribute which an error names."""
    folder = project_folder()
    file = context.path / "defs.yaml"
    name = Path("project", file.relative_to(folder)) if file.is_relative_to(folder) else file
    tree = context.resolution_context.source_position_tree
    if tree is None:
        return str(name)
    attributes = tree.children["attributes"].children if "attributes" in tree.children else {}
    named = next((attributes[word] for word in re.findall(r"\w+", message) if word in attributes), tree)
    return f"{name}:{named.position.start.line}"
