"""What became of calls: for the metadata of whoever made them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from dagma.calls.answer import Answer
from dagma.calls.request import CallRequest, FlowReference
from dagma.ledger import Begun

Origin = Literal["sent", "re-attached", "replayed", "found"]
"""How the answer was come by: by sending the call, from its job of before, from the ledger, or from what the server
keeps of an attempt whose end nobody saw."""


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """A call that was answered.

    Attributes:
        begun: The ledger's name of the call and the attempt.
        origin: How the answer was come by.
        flow: The flow.
        request: What was asked.
        response: The raw response.
        answer: What it says.
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
    """

    answered: list[CallRecord] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)


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
