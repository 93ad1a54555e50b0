"""What is asked of a backend."""

from dataclasses import dataclass
from typing import Any, Literal

from dagma.langflow import InputType, OutputType

CallMode = Literal["auto", "direct", "job"]


@dataclass(frozen=True, kw_only=True)
class CallRequest:
    """One input for one flow.

    Attributes:
        flow_id: The flow, as the caller names it.
        input_value: The input.
        output_type: Which of the flow's outputs to return.
        input_type: Which of the flow's inputs gets the input.
        tweaks: Values of component fields for this call only, by component id.
        session_id: The conversation that the call belongs to.
        stream: Take the answer as it is produced.
        mode: How to send it; None leaves it to the backend's setting.
        row: What tells this call from the others of its step.
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

    def deciding(self) -> dict[str, Any]:
        """Give what decides the answer, and so makes two calls equal: not the way in which it is sent."""
        return {
            "input_value": self.input_value,
            "output_type": self.output_type,
            "input_type": self.input_type,
            "tweaks": self.tweaks,
            "session_id": self.session_id,
        }
