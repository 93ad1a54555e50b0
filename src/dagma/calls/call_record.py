"""The calls of a step: recorded as they end, and described beside its materialization or failure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import dagster as dg

from dagma import environment
from dagma.calls.answer import Answer, total_of
from dagma.calls.request import CallRequest, FlowReference
from dagma.langflow import LangflowError
from dagma.ledger import Begun, TextPolicy, Usage

UNPRICED = "unpriced: set DAGMA_PRICES"
# How much of an answer that is no text is shown. The materialized value has all of it.
MOST_ROWS = 100
MOST_COLUMNS = 50
MOST_CELL = 1_000
MOST_CHARACTERS = 20_000
# As with answers: whoever sees the run may see what was said, and nobody a credential.
_SHOWN = TextPolicy("full")
Origin = Literal["sent", "re-attached", "replayed", "found"]
"""How the answer was come by: by sending the call, from its job of before, from the ledger, or from what the server
keeps of an attempt whose end nobody saw."""


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """A call that was answered.

    Attributes:
        seconds: How long the call took.
        cost: What it cost in USD; None where the price is not known.
    """

    begun: Begun
    origin: Origin
    flow: FlowReference
    request: CallRequest = field(repr=False)
    response: dict[str, Any] = field(repr=False)
    answer: Answer = field(repr=False)
    seconds: float
    cost: Decimal | None = None


@dataclass
class RecordedCalls:
    """The calls of a block, in the order of their ends.

    Attributes:
        answered: Those with an answer.
        begun: Every attempt that the ledger let in, answered or not.
        spent: What those used that failed, as far as it is known.
    """

    answered: list[CallRecord] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)
    spent: list[Usage] = field(default_factory=list)


_recording: ContextVar[RecordedCalls | None] = ContextVar("dagma_recorded_calls", default=None)


@contextmanager
def record_calls() -> Iterator[RecordedCalls]:
    """Record the calls that a block makes, while `run_flow` gives it the raw responses.

    Threads that the block starts are recorded where they run in a copy of its context.

    Yields:
        The calls; it fills while the block runs.
    """
    calls = RecordedCalls()
    token = _recording.set(calls)
    try:
        yield calls
    finally:
        _recording.reset(token)


def recording() -> RecordedCalls:
    """Give what records the calls made here; one that nobody reads, outside of any block."""
    return _recording.get() or RecordedCalls()


def record_texts() -> bool:
    """Whether answers are recorded in Dagster: `DAGMA_RECORD_TEXTS` is `full` (the default) or `none`."""
    return environment.choice("DAGMA_RECORD_TEXTS", ("full", "none"), default="full") == "full"


def shown_error(explained: LangflowError, raised: Exception) -> LangflowError:
    """Keep credentials out of an error that Dagster shows, and all texts where none are recorded.

    The backend has made it of an exception of another kind, whose message can quote answers.
    """
    if record_texts():
        cause, excerpt = _SHOWN.of_error(explained.cause), _SHOWN.of_error(explained.excerpt)
    else:
        cause, excerpt = f"The backend raised {type(raised).__name__}.", ""
    explained.cause, explained.excerpt = cause or "", excerpt or ""
    explained.args = (explained.cause,)
    return explained


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
    """Tell the last answer of a step, and what was said where `texts` says so."""
    if not calls.answered:  # by a backend with a `run_flow` of its own
        return {"status": "completed", **describe_flow(flow)}
    return describe_call(calls.answered[-1], texts=texts)


def describe_call(call: CallRecord, *, texts: bool) -> dict[str, Any]:
    """Tell the answer of a call, and what it took; the texts of input and answer where `texts` says so."""
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


def show_answer(answer: Answer) -> dict[str, Any]:
    """Show an answer under the label `answer`; of a long table or JSON its beginning."""
    content: Any = answer.text
    if content is None:
        content = next(iter(answer.outputs.values())) if len(answer.outputs) == 1 else dict(answer.outputs)
    if isinstance(content, str):
        # Plain text: as Markdown, an answer could make the reader's browser load an address of the model's choice.
        return {"answer": dg.MetadataValue.text(content)}
    if content and isinstance(content, list) and all(isinstance(row, Mapping) for row in content):
        columns = list(dict.fromkeys(str(name) for row in content[:MOST_ROWS] for name in row))[:MOST_COLUMNS]
        shown_rows = show_table(content[:MOST_ROWS], columns, MOST_CELL)
        return {"answer": shown_rows, **({"answer_rows": len(content)} if len(content) > MOST_ROWS else {})}
    shown = json.dumps(content, ensure_ascii=False, indent=2, default=str)
    if len(shown) > MOST_CHARACTERS:
        return {"answer": dg.MetadataValue.text(f"{shown[:MOST_CHARACTERS]}\n...")}
    return {"answer": dg.MetadataValue.json(json.loads(shown))}


def show_table(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], most_characters: int
) -> dg.TableMetadataValue:
    """Show rows with plain cells: as Markdown, too, an answer could load an address of the model's choice."""
    records = [dg.TableRecord({name: _cell(row.get(name), most_characters) for name in columns}) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(name, "any") for name in columns]))


def _cost(call: CallRecord) -> dg.MetadataValue[Any] | None:
    """Tell the cost, or that the model has no known price; nothing where not every model reported its tokens."""
    if call.cost is not None:
        return dg.MetadataValue.float(float(call.cost))
    usages = call.answer.usages
    is_counted = bool(usages) and all(usage.input_tokens and usage.output_tokens for usage in usages)
    return dg.MetadataValue.text(UNPRICED) if is_counted else None


def _known(metadata: dict[str, Any]) -> dict[str, Any]:
    return {label: value for label, value in metadata.items() if value is not None}


def _cell(value: Any, most_characters: int) -> str | int | float | bool:
    """Write a value as Dagster's tables can hold it."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return value
    text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else str(value)
    return text if len(text) <= most_characters else f"{text[:most_characters]}..."
