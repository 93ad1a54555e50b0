"""What became of one row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """One row, answered or failed.

    Attributes:
        key: Its key, as text.
        row: The columns of the input that are kept, the key's among them.
        output: The output columns; `{"answer": text}` where none were declared. None for a row that failed.
        error: Why it failed, and what to do; None for a row with an answer.
        error_kind: The kind of the error, such as `FlowFailed` or `AnswerFault`.
        attempts: How many calls were made for it; 0 where another row asked the same, and this one has its answer.
        call_id: The ledger's id of the last call: `dagma ledger show` tells all of it.
        flow_version: The content version of the flow that was asked.
        model: What answered, as far as it was reported.
        tokens: How many tokens its calls used, as far as they were reported.
        cost_usd: What its calls cost, in USD; None where that is not known.
        seconds: How long its calls took.
        answered_at: When it was answered, or failed (UTC).
    """

    key: str
    row: Mapping[str, Any] = field(repr=False)
    output: dict[str, Any] | None
    error: str | None = None
    error_kind: str | None = None
    attempts: int = 0
    call_id: str | None = None
    flow_version: str | None = None
    model: str | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    seconds: float | None = None
    answered_at: datetime

    @property
    def answer(self) -> str | None:
        """The answer's text, where no output columns were declared."""
        return None if self.output is None else self.output.get("answer")
