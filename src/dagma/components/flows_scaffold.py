"""What `dg scaffold defs dagma.Flows NAME` writes."""

from typing import Any

import dagster as dg
from typing_extensions import override

EXAMPLE = """\
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


class FlowsScaffolder(dg.Scaffolder[Any]):
    """Writes a `defs.yaml` to begin with: every flow, and examples to uncomment."""

    @override
    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        request.target_path.mkdir(parents=True, exist_ok=True)
        text = EXAMPLE.format(type_name=request.type_name)
        (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")
