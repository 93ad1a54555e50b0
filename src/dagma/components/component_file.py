"""The file of a component, `defs.yaml`: what `dg scaffold` writes into it, and where in it a mistake is."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from typing_extensions import override

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
    except (RowsError, TableError, BadTemplateError, BadFile, dg.DagsterError) as error:
        what = "".join(f"{each}: " for each in (asset, *getattr(error, "__notes__", ())) if each)
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


class FlowTableScaffolder(dg.Scaffolder[Any]):
    """What `dg scaffold defs dagma.FlowTable NAME` writes: a table of a CSV file with texts."""

    example = """\
type: {type_name}

attributes:
  asset: {name}
  rows: {{csv: data/{name}.csv}}  # or the key of an upstream asset; relative paths start in project/
  key: id
  input: "{{{{ row.text }}}}\\nIs this positive or negative? Answer with one word."
  output: {{label: {{enum: [positive, negative]}}}}
"""

    @override
    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        request.target_path.mkdir(parents=True, exist_ok=True)
        text = self.example.format(type_name=request.type_name, name=request.target_path.name)
        (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")
