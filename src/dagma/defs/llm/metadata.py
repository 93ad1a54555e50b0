"""What people see beside a materialization or a failure: the flow, the answer, and what it took."""

from typing import Any

import dagster as dg

from dagma import environment
from dagma.defs.llm.backend import FlowReference
from dagma.langflow import CallResult


def record_texts() -> bool:
    """Whether answers are recorded in Dagster: `DAGMA_RECORD_TEXTS` is `full` (the default) or `none`."""
    return environment.choice("DAGMA_RECORD_TEXTS", ("full", "none"), default="full") == "full"


def describe_flow(flow: FlowReference) -> dict[str, Any]:
    """Name the flow, and link to it."""
    return _known(
        {
            "flow_id": flow.flow_id,
            "flow_name": flow.name,
            "flow_url": dg.MetadataValue.url(flow.url) if flow.url else None,
        }
    )


def describe_answer(result: CallResult, *, seconds: float, texts: bool) -> dict[str, Any]:
    """Tell the answer, and what it took.

    Args:
        result: The answer.
        seconds: How long the call took.
        texts: Whether to tell the answer's text.
    """
    usage = result.usage
    # Plain text: rendered as Markdown, an answer could make the reader's browser load an address of the model's choice.
    answer = dg.MetadataValue.text(result.answer) if texts and result.answer is not None else None
    return _known(
        {
            "status": "completed",
            "answer": answer,
            "duration_seconds": dg.MetadataValue.float(round(seconds, 3)),
            "input_tokens": usage and usage.input,
            "output_tokens": usage and usage.output,
            "total_tokens": usage and usage.total,
            "model": result.model,
            "session_id": result.session_id,
        }
    )


def _known(metadata: dict[str, Any]) -> dict[str, Any]:
    return {label: value for label, value in metadata.items() if value is not None}
