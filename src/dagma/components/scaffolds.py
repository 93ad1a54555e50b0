"""What `dg scaffold defs dagma.Flows NAME` and `dg scaffold defs dagma.FlowTable NAME` write."""

from typing import Any, ClassVar

import dagster as dg
from typing_extensions import override


class _ExampleScaffolder(dg.Scaffolder[Any]):
    """Writes a `defs.yaml` to begin with."""

    example: ClassVar[str]

    @override
    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        request.target_path.mkdir(parents=True, exist_ok=True)
        text = self.example.format(type_name=request.type_name, name=request.target_path.name)
        (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")


class FlowsScaffolder(_ExampleScaffolder):
    """Every flow, and examples to uncomment."""

    example = """\
type: {type_name}

attributes:
  # Which flows become assets: by project, name, tag or id.
  select: {{name: "*"}}

  # What a flow is asked, by its endpoint name, name or id.
  # flows:
  #   label-reviews:
  #     deps: [reviews]
  #     input: "Sort these reviews: {{{{ upstream.reviews }}}}"
  #     schedule: "0 6 * * *"
"""


class FlowTableScaffolder(_ExampleScaffolder):
    """A table of a CSV file with texts."""

    example = """\
type: {type_name}

attributes:
  asset: {name}
  rows: {{csv: data/{name}.csv}}  # or the key of an upstream asset; relative paths start in project/
  key: id
  input: "{{{{ row.text }}}}\\nIs this positive or negative? Answer with one word."
  output: {{label: {{enum: [positive, negative]}}}}
"""
