"""What takes part in a call: one object, which every step of its path gets."""

from dataclasses import dataclass
from typing import Any

from dagma.calls.call_backend import CallBackend
from dagma.calls.caller import Caller
from dagma.calls.request import CallRequest, FlowReference
from dagma.ledger import Ledger


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
