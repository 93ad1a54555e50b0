"""What is known of one row of a table after all was killed that could be, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from chaos.evidence import Evidence
from chaos.llm_log import LlmRequest

LOSES_ANSWERS = ("langflow", "postgres")
"""Services that an answer goes through, or is kept by, on its way from the LLM to Dagma."""
UNDER_WAY = timedelta(seconds=10)
"""How long an answer may be under way, on a machine that is busy."""


@dataclass(frozen=True)
class Outage:
    """A service was away."""

    service: str
    began: datetime
    ended: datetime


@dataclass(frozen=True)
class RowEvidence:
    """A row as its table, the ledger and the LLM saw it.

    Args:
        key: The row.
        is_answered: Whether the table has the answer to its own question.
        calls: The ledger's rows of it.
        requests: What the LLM was asked with its question.
        outages: When which service was away.
    """

    key: str
    is_answered: bool
    calls: Sequence[Mapping[str, Any]]
    requests: Sequence[LlmRequest]
    outages: Sequence[Outage] = field(default=(), repr=False)

    @property
    def answers(self) -> int:
        """How many answers the LLM has computed for it."""
        return sum(request.completed for request in self.requests)

    @property
    def paid_twice(self) -> bool:
        """Whether it was asked again although its answer was in the ledger, or could have been found.

        An answer that was under way while Langflow or its database was killed is lost, and nobody can find it.
        """
        findable = sum(request.completed and not self._is_lost(request) for request in self.requests)
        return findable > 1 or Evidence(runs=(), rows=self.calls, requests=self.requests, seconds=0.0).paid_twice

    def problems(self) -> list[str]:
        """Say everything that is wrong; nothing where the row has survived."""
        problems = [] if self.is_answered else ["lost: the table does not have its answer"]
        if not self.requests:
            problems.append("the LLM was never asked")
        if self.paid_twice:
            problems.append(f"paid twice: the LLM has answered {self.answers} times")
        return problems

    def report(self) -> str:
        """Lay all of it open, for whoever has to find the cause."""
        shown = ("attempt", "state", "begun_at", "finished_at", "error_class", "error_message")
        lines = [f"row {self.key}: {'; '.join(self.problems()) or 'nothing is wrong'}"]
        lines += [f"  call { {name: call.get(name) for name in shown} }" for call in self.calls]
        lines += [f"  {request}" for request in self.requests]
        lines += [f"  {outage}" for outage in self.outages if any(_meets(outage, each) for each in self.requests)]
        return "\n".join(lines)

    def _is_lost(self, request: LlmRequest) -> bool:
        return any(outage.service in LOSES_ANSWERS and _meets(outage, request) for outage in self.outages)


def _meets(outage: Outage, request: LlmRequest) -> bool:
    ended = request.ended_at or request.begun_at
    return request.begun_at <= outage.ended and outage.began <= ended + UNDER_WAY
