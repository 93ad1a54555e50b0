"""What people see beside a materialization or a failure: the flow, the answer, and what it took."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from dagma import environment
from dagma.calls.answer import total_of
from dagma.calls.call_record import CallRecord, RecordedCalls
from dagma.calls.request import FlowReference
from dagma.calls.shown_answers import show_answer
from dagma.ledger import Begun

UNPRICED = "unpriced: set DAGMA_PRICES"


def record_texts() -> bool:
    """Whether answers are recorded in Dagster: `DAGMA_RECORD_TEXTS` is `full` (the default) or `none`."""
    return environment.choice("DAGMA_RECORD_TEXTS", ("full", "none"), default="full") == "full"


def describe_flow(flow: FlowReference) -> dict[str, Any]:
    """Name the flow, and link to it."""
    return _known(
        {
            "flow_id": flow.flow_id,
            "flow_name": flow.name,
            "flow_version": flow.version,
            "flow_url": dg.MetadataValue.url(flow.url) if flow.url else None,
        }
    )


def describe_calls(calls: RecordedCalls, flow: FlowReference, *, texts: bool) -> dict[str, Any]:
    """Tell the last answer of a step.

    Args:
        calls: Its calls; none are recorded where a backend has a `run_flow` of its own.
        flow: The flow, for that case.
        texts: Whether to tell the texts of input and answer.
    """
    if not calls.answered:
        return {"status": "completed", **describe_flow(flow)}
    return describe_call(calls.answered[-1], texts=texts)


def describe_call(call: CallRecord, *, texts: bool) -> dict[str, Any]:
    """Tell the answer of a call, and what it took.

    Args:
        call: The call.
        texts: Whether to tell the texts of input and answer.
    """
    answer = call.answer
    models = ", ".join(dict.fromkeys(usage.model for usage in answer.usages if usage.model))
    known = _known(
        {
            "input": dg.MetadataValue.text(call.request.input_value) if texts else None,
            **(show_answer(answer) if texts else {}),
            "duration_seconds": dg.MetadataValue.float(round(call.seconds, 3)),
            "input_tokens": total_of(answer.usages, "input_tokens"),
            "output_tokens": total_of(answer.usages, "output_tokens"),
            "total_tokens": total_of(answer.usages, "total"),
            "model": models or None,
            "cost_usd": _cost(call),
            "session_id": answer.session_id,
            # Both, once the call was not simply sent and answered.
            "origin": call.origin if call.origin != "sent" or call.begun.attempt > 1 else None,
            "attempt": call.begun.attempt if call.origin != "sent" else None,
            "job_id": answer.job_id,
            "status": "completed",
        }
    )
    return known | describe_flow(call.flow) | describe_attempts([call.begun])


def describe_attempts(attempts: Sequence[Begun]) -> dict[str, Any]:
    """Say under which id the ledger has the last of some attempts: `dagma ledger show <call_id>` tells all of it.

    A first attempt by one direct request is the plain case, and not told.
    """
    if not attempts:
        return {}
    last = attempts[-1]
    return _known(
        {
            "call_id": last.call_id,
            "attempt": last.attempt if last.attempt > 1 else None,
            "mode": last.mode if last.mode != "direct" else None,
        }
    )


def _cost(call: CallRecord) -> dg.MetadataValue[Any] | None:
    """Tell the cost, or that the model has no known price; nothing where no model reported tokens."""
    if call.cost is not None:
        return dg.MetadataValue.float(float(call.cost))
    return dg.MetadataValue.text(UNPRICED) if call.answer.usages else None


def _known(metadata: dict[str, Any]) -> dict[str, Any]:
    return {label: value for label, value in metadata.items() if value is not None}
