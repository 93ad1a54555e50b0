"""What is known of a durable call after its runs have ended, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chaos.llm_log import LlmRequest

OPEN_STATES = frozenset({"begun", "submitted"})


@dataclass(frozen=True)
class RunEnd:
    """One run of the call: the first, or a retry of it."""

    run_id: str
    status: str
    answer: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Evidence:
    """A call as Dagster, the ledger and the LLM server saw it.

    Args:
        runs: The run that was launched and its retries, in order.
        rows: The ledger's rows of these runs.
        requests: What the LLM server began between the launch and the end of the last run; no other call was made.
        seconds: From the launch to the answer.
    """

    runs: Sequence[RunEnd]
    rows: Sequence[Mapping[str, Any]]
    requests: Sequence[LlmRequest]
    seconds: float
    log: Sequence[str] = field(default=(), repr=False)

    @property
    def answered(self) -> bool:
        """Whether a run of the call succeeded and materialized an answer."""
        return any(run.status == "SUCCESS" and run.answer for run in self.runs)

    @property
    def late_requests(self) -> list[LlmRequest]:
        """Requests that began after the ledger had the answer."""
        ends = [_time(row["finished_at"]) for row in self.rows if row["state"] == "answered"]
        return [request for request in self.requests if ends and request.begun_at > min(ends)]

    @property
    def answers_too_many(self) -> int:
        """Answers that the LLM computed beyond one per attempt of the ledger.

        An attempt that Langflow lost may have been answered by the LLM before; one attempt never is answered twice.
        """
        completed = sum(request.completed for request in self.requests)
        return max(completed - max(len(self.rows), 1), 0)

    @property
    def paid_twice(self) -> bool:
        """Whether the LLM worked again for what it had answered."""
        return bool(self.late_requests) or self.answers_too_many > 0

    def problems(self) -> list[str]:
        """Say everything that is wrong; nothing, if the call survived."""
        return [*self._dagster_problems(), *self._ledger_problems(), *self._llm_problems()]

    def _dagster_problems(self) -> list[str]:
        problems = []
        if not self.answered:
            problems.append(f"lost: no run ended with an answer ({[run.status for run in self.runs]})")
        if self.runs and self.runs[-1].status != "SUCCESS":
            problems.append(f"the last run is {self.runs[-1].status}")
        return problems

    def _ledger_problems(self) -> list[str]:
        if not self.rows:
            return ["the ledger has no row of the call"]
        problems = []
        keys = {row["key"] for row in self.rows}
        if len(keys) > 1:
            problems.append(f"the retries had other keys: {sorted(keys)}")
        rows = sorted(self.rows, key=lambda row: int(row["attempt"]))
        states = [row["state"] for row in rows]
        if states.count("answered") != 1:
            problems.append(f"{states.count('answered')} answered rows instead of 1")
        elif states[-1] != "answered":
            problems.append(f"the call was sent again after its answer: {states}")
        if OPEN_STATES & set(states):
            problems.append(f"rows are left open: {states}")
        if {row["mode"] for row in rows} != {"job"}:
            problems.append(f"not a durable call: its modes are {[row['mode'] for row in rows]}")
        if [int(row["attempt"]) for row in rows] != list(range(1, len(rows) + 1)):
            problems.append(f"attempts are numbered {[row['attempt'] for row in rows]}")
        return problems

    def _llm_problems(self) -> list[str]:
        problems = []
        if not any(request.completed for request in self.requests):
            problems.append("the LLM server has computed no answer: the call was not what was tested")
        if self.late_requests:
            problems.append(f"paid twice: the LLM got requests after the answer: {self.late_requests}")
        if self.answers_too_many:
            problems.append(f"paid twice: {self.answers_too_many} answers of the LLM more than attempts")
        return problems

    def report(self) -> str:
        """Lay all of it open, for whoever has to find the cause."""
        lines = [f"{problem}" for problem in self.problems()] or ["nothing is wrong"]
        lines += ["", "runs:", *(f"  {run}" for run in self.runs)]
        shown = (
            "attempt",
            "state",
            "mode",
            "job_id",
            "run_id",
            "begun_at",
            "submitted_at",
            "finished_at",
            "error_class",
        )
        lines += ["ledger:"]
        lines += [
            f"  { {name: row.get(name) for name in shown} } {row.get('error_message') or ''}" for row in self.rows
        ]
        lines += ["LLM requests:", *(f"  {request}" for request in self.requests)]
        lines += ["logs of the runs:", *(f"  {line}" for line in self.log)]
        return "\n".join(lines)


def _time(text: str | datetime) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)
