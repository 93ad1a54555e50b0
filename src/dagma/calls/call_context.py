"""What takes part in a call: one object, which every step of its path gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dagma.calls.answer import Answer
from dagma.calls.caller import Caller
from dagma.calls.finding import Finding
from dagma.calls.flow_reference import FlowReference
from dagma.calls.job_runner import Jobs
from dagma.calls.request import CallRequest
from dagma.langflow import LangflowError
from dagma.ledger import Begun, Ledger, Usage
from dagma.ledger.call import Mode


class CallBackend(Protocol):
    """What the path of a call asks of a backend; `dagma.Backend` describes each method."""

    @property
    def backend_name(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def outcome_seconds(self) -> float: ...  # noqa: D102
    def look_up(self, flow_id: str) -> FlowReference: ...  # noqa: D102
    def choose_mode(self, request: CallRequest, flow: FlowReference) -> Mode: ...  # noqa: D102
    def answer(self, request: CallRequest) -> dict[str, Any]: ...  # noqa: D102
    def read(self, response: Mapping[str, Any]) -> Answer: ...  # noqa: D102
    def explain(self, error: Exception) -> LangflowError: ...  # noqa: D102
    def spent(self, error: Exception) -> tuple[Usage, ...]: ...  # noqa: D102
    def jobs(self) -> Jobs | None: ...  # noqa: D102
    def find_outcome(self, request: CallRequest, begun: Begun) -> Finding: ...  # noqa: D102


@dataclass(frozen=True)
class CallContext:
    """What takes part in a call.

    Attributes:
        backend: What answers it.
        request: What to ask, in its session.
        flow: The flow, looked up.
        caller: Who asks.
        ledger: Where it is recorded.
    """

    backend: CallBackend
    request: CallRequest
    flow: FlowReference
    caller: Caller
    ledger: Ledger

    @property
    def log(self) -> Any:
        """Where people are told what happens."""
        return self.caller.log
