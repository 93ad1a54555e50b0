"""What a caller tells the ledger about a call, and what the ledger tells back."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

Mode = Literal["direct", "job"]
State = Literal["begun", "submitted", "answered", "failed", "unknown", "cancelled", "refused"]

PRINCIPAL_CHARACTERS = 200
"""How many characters of a principal are kept; the others tell nobody apart."""
MOST_TOKENS = 10**12
"""What no call can use: a server that reports more, or less than none, reports nothing."""
CHARACTERS_PER_TOKEN = 4
"""Roughly what tokenizers make of English; other languages and code have fewer characters a token."""


def input_hash(payload: Mapping[str, Any] | str) -> str:
    """Hash everything that decides the answer: input value, types, tweaks, session.

    Args:
        payload: The request's body, or its text.

    Returns:
        SHA-256 in hex, the same for mappings that differ only in the order of keys.
    """
    canonical = payload if isinstance(payload, str) else json.dumps(payload, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request to answer one input with one flow.

    Attributes:
        flow_id: The flow's id.
        input_hash: What `input_hash` gave for the request.
        scope: What retries share and executions from scratch do not. In Dagster: the id of the run that this one
            retries, however often; its own id where it retries none.
        mode: `direct` (the answer comes in the response) or `job` (a durable job that can be found again by key).
        backend: What answers, such as `langflow`.
        flow_address: How the caller names the flow, if not by its id. The key is made of it, so that a retry which
            can't look the id up has the same key.
        flow_name: The flow's endpoint name, which quotas and reports may use instead of the id.
        flow_title: The flow's name as people see it, for reports on flows without an endpoint name.
        flow_looked_up: Whether `flow_id` and `flow_name` are the flow's own. Where they are not, because its server
            could not be asked, the ledger takes those of the last call with the same address.
        flow_version: The flow's content version.
        session_id: The session that the caller asked for, if any.
        run_id: The Dagster run.
        step: The Dagster step; one run may call the same flow with the same input from several steps.
        partition: The Dagster partition.
        row: The row of a batch, or a number that tells equal calls of one step apart.
        principal: Who asked, such as `schedule:nightly` or `cli:anna`. It is no part of the key.
        input_text: The input, kept only as the ledger's `texts` setting allows.
    """

    flow_id: str
    input_hash: str
    scope: str
    mode: Mode = "direct"
    backend: str = "langflow"
    flow_address: str | None = None
    flow_name: str | None = None
    flow_title: str | None = None
    flow_looked_up: bool = True
    flow_version: str | None = None
    session_id: str | None = None
    run_id: str | None = None
    step: str | None = None
    partition: str | None = None
    row: str | None = None
    principal: str | None = None
    input_text: str | None = None

    @cached_property
    def key(self) -> str:
        """What names the call: its retry has the same key, and no other call has. SHA-256 in hex."""
        flow = self.flow_address or self.flow_id
        parts = [flow, self.input_hash, self.scope, self.step, self.partition, self.row]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def counted_principal(self) -> str:
        """Who asks, as the totals have it: empty where nobody is named."""
        return (self.principal or "")[:PRINCIPAL_CHARACTERS]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens that one model used for a call. None stands for "not reported", which is not 0.

    What can't be true counts as not reported: a backend's figures must neither give a quota back nor keep an answer
    from being recorded.
    """

    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None

    def __post_init__(self) -> None:
        """Leave out what can't be true."""
        object.__setattr__(self, "model", self.model if isinstance(self.model, str) else None)
        for name in ("input_tokens", "output_tokens", "total_tokens"):
            object.__setattr__(self, name, _count(getattr(self, name)))

    @property
    def is_nothing(self) -> bool:
        """Whether it reports numbers, and all of them are 0."""
        numbers = [
            number for number in (self.input_tokens, self.output_tokens, self.total_tokens) if number is not None
        ]
        return bool(numbers) and not any(numbers)

    @property
    def total(self) -> int | None:
        """The total: as reported, else the sum of input and output where both are known."""
        if self.total_tokens is not None:
            return self.total_tokens
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


def reported(usages: Sequence[Usage], answer: str | None) -> tuple[Usage, ...]:
    """Give the usages of an answered call with what was really reported.

    No model reads and writes nothing and still answers: 0 tokens in and 0 out beside an answer stand for a server that
    does not count, such as most OpenAI-compatible ones when they stream. Of such a usage the model is kept. An empty
    answer may have cost nothing; `answer` is None where it is no single text.
    """
    if answer == "":
        return tuple(usages)
    return tuple(Usage(model=usage.model) if usage.is_nothing else usage for usage in usages)


def fill_in(usages: Sequence[Usage], input_characters: int, answer_characters: int) -> tuple[Usage, ...]:
    """Put estimates where a usage was not reported, so that limits on tokens and cost still close; leave what was.

    No usage stands for one unnamed model that reported nothing.
    """
    read, written = _tokens(input_characters), _tokens(answer_characters)
    return tuple(_fill_in(usage, read, written) for usage in usages or [Usage()])


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if is_count else None


def _fill_in(usage: Usage, read: int, written: int) -> Usage:
    total = usage.total
    if total is None:
        known_read, known_written = usage.input_tokens or read, usage.output_tokens or written
        return Usage(model=usage.model, input_tokens=known_read, output_tokens=known_written)
    if usage.input_tokens is None or usage.output_tokens is None:
        # The total is known: the answer tells how to split it, which decides its price.
        written = min(written, total)
        return replace(usage, input_tokens=total - written, output_tokens=written)
    return usage


def _tokens(characters: int) -> int:
    return min(-(-characters // CHARACTERS_PER_TOKEN), MOST_TOKENS // 2)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What to do with a call that `Ledger.begin` let in.

    Attributes:
        state: `new`: send it. `answered`: use `raw`, send nothing. `running`: it is a job that may live: follow
            `job_id`; where that is None the submit's reply was lost, and submitting again with `idempotency_key` is
            safe. `unknown`: it was sent and nobody saw its end; only `OutcomeUnknownError` carries this one.
        call_id: The row's id.
        key: The call's key.
        attempt: 1, and one more each time the call has to be sent again.
        begun_at: When this attempt began.
        mode: The mode of this attempt, which for `running` is that of the caller before.
        job_id: The job, where known.
        raw: The raw response of the answered call.
        flow_version: The flow's content version when it began, where known.
        ended_at: When an `unknown` call was recorded as such.
        error_class: Why an `unknown` call is unknown.
        flow_id: The flow's id, as the row has it.
        flow_name: The flow's endpoint name, as the row has it.
        input_characters: How long the input is.
        reserved_cost: USD that the call was taken to cost while it is in flight.
    """

    state: Literal["new", "answered", "running", "unknown"]
    call_id: str
    key: str
    attempt: int
    begun_at: datetime
    mode: Mode
    job_id: str | None = None
    raw: Any = None
    flow_version: str | None = None
    ended_at: datetime | None = None
    error_class: str | None = None
    flow_id: str = ""
    flow_name: str | None = None
    input_characters: int = 0
    reserved_cost: Decimal = Decimal(0)

    @property
    def idempotency_key(self) -> str:
        """What to submit the job under: one per attempt, since a server replays a job that completed."""
        return f"{self.key}-{self.attempt}"
