"""What takes part in a call: one object, which every step of its path gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dagma.calls.answer import Answer
from dagma.calls.call_policy import CallPolicy
from dagma.calls.caller import Caller
from dagma.calls.finding import Finding
from dagma.calls.job_runner import Jobs
from dagma.calls.request import CallRequest, FlowReference
from dagma.langflow import LangflowError
from dagma.ledger import Begun, Ledger, Usage
from dagma.ledger.call import Mode


class CallBackend(Protocol):
    """What the path of a call asks of a backend; `dagma.Backend` describes each method."""

    @property
    def backend_name(self) -> str:
        """Name the backend for the ledger."""

    @property
    def policy(self) -> CallPolicy:
        """Say how patiently its calls are made."""

    @property
    def identity(self) -> str:
        """Tell it from backends that may answer otherwise."""

    @property
    def takes_files(self) -> bool:
        """Whether it hands files to flows."""

    @property
    def outcome_seconds(self) -> float:
        """Say how long to look for an outcome, in seconds."""

    def choose_mode(self, request: CallRequest, flow: FlowReference) -> Mode:
        """Choose how the call is sent."""

    def answer(self, request: CallRequest) -> dict[str, Any]:
        """Send the call and wait for its raw response."""

    def read(self, response: Mapping[str, Any]) -> Answer:
        """Say what a raw response means."""

    def explain(self, error: Exception) -> LangflowError:
        """Say what an exception of `answer` means."""

    def spent(self, error: Exception) -> tuple[Usage, ...]:
        """Tell what a call used that has failed."""

    def jobs(self) -> Jobs | None:
        """Give what runs durable jobs, if the backend has any."""

    def find_outcome(self, request: CallRequest, begun: Begun) -> Finding:
        """Find out what became of a call whose end nobody saw."""


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
    def on_unknown(self) -> str:
        """What to do if what became of an attempt can't be found out: by the call, its backend or the ledger."""
        chosen = self.request.on_unknown or self.backend.policy.on_unknown
        return self.ledger.on_unknown if chosen == "as_ledger" else chosen

    @property
    def log(self) -> Any:
        """Where people are told what happens."""
        return self.caller.log
