"""What is asked of a backend."""

from dataclasses import dataclass
from typing import Any, Literal

from dagma.langflow import InputType, OutputType
from dagma.ledger.call import Mode

CallMode = Literal["auto", Mode]
OnUnknown = Literal["fail", "resend", "give_up"]
"""What becomes of a call of which nobody can tell whether it was answered: fail, and look again at the next retry; send
it again, which may pay twice; or fail, at each retry too."""


@dataclass(frozen=True, kw_only=True)
class CallRequest:
    """One input for one flow.

    Attributes:
        flow_id: The flow, as the caller names it.
        input_value: The input.
        output_type: Which of the flow's outputs to return.
        input_type: Which of the flow's inputs gets the input.
        tweaks: Values of component fields for this call only, by component id.
        session_id: The conversation that the call belongs to. A backend always gets one: where the caller names none,
            the call's own.
        stream: Take the answer as it is produced.
        mode: How to send it; None leaves it to the backend's setting.
        row: What tells this call from the others of its step.
        on_unknown: What to do if an earlier attempt may have been answered; None leaves it to the ledger's setting.
    """

    flow_id: str
    input_value: str
    output_type: OutputType = "chat"
    input_type: InputType = "chat"
    tweaks: dict[str, Any] | None = None
    session_id: str | None = None
    stream: bool = False
    mode: CallMode | None = None
    row: str | None = None
    on_unknown: OnUnknown | None = None

    def deciding(self) -> dict[str, Any]:
        """Give what decides the answer, and so makes two calls equal: not the way in which it is sent."""
        return {
            "input_value": self.input_value,
            "output_type": self.output_type,
            "input_type": self.input_type,
            "tweaks": self.tweaks,
            "session_id": self.session_id,
        }
