"""The contract of a backend: whatever answers a call.

To swap the backend, write a class with `run_flow`, and put it in place of `langflow_from_environment()` in
`dagma/definitions.py`. The assets do not change:

    class Canned(Backend):
        def run_flow(self, input_value: str, **_: Any) -> dict[str, Any]:
            return {"text": "It depends."}

        def default_flow(self) -> str:
            return "canned"

        def read(self, response: Mapping[str, Any]) -> CallResult:
            return CallResult(way="v1_run", answer=response["text"], reason="single", raw=response)
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from dagma.langflow import CallResult, InputType, OutputType


@dataclass(frozen=True)
class FlowReference:
    """What people need to recognize a flow."""

    flow_id: str
    name: str | None = None
    url: str | None = None


class Backend(dg.ConfigurableResource[Any], ABC):
    """Answers calls.

    A `dagma.langflow.LangflowError` says whether a retry may help, and whether the call may have to be paid already.
    Every other exception fails the step.
    """

    @abstractmethod
    def run_flow(
        self,
        input_value: str,
        output_type: OutputType = "chat",
        input_type: InputType = "chat",
        tweaks: dict[str, Any] | None = None,
        session_id: str | None = None,
        stream: bool = False,
        *,
        flow_id: str | None = None,
    ) -> dict[str, Any]:
        """Answer one input with one flow.

        Args:
            input_value: The input.
            output_type: Which of the flow's outputs to return: `chat`, `text`, `any` or `debug`.
            input_type: Which of the flow's inputs gets the input: `chat`, `text` or `any`.
            tweaks: Values of component fields for this call only, by component id.
            session_id: The conversation that the call belongs to.
            stream: Take the answer as it is produced, so that giving up stops the flow; the response is the same.
            flow_id: Id or endpoint name of the flow; the default flow where it is None.

        Returns:
            The raw response.

        Raises:
            LangflowError: There is no answer; the error says why, and what to do.
        """

    def read(self, response: Mapping[str, Any]) -> CallResult:
        """Read a raw response. Override it where the response is not that of Langflow's `/api/v1/run`.

        Raises:
            LangflowError: The response holds no answer.
        """
        return CallResult.from_v1(response)

    def default_flow(self) -> str | None:
        """Name the flow for calls that name none; None where nothing is configured to answer them."""
        return None

    def refer_to(self, flow_id: str) -> FlowReference:
        """Tell people which flow it is, without asking anyone. Override it to add a link."""
        return FlowReference(flow_id)

    def look_up(self, flow_id: str) -> FlowReference:
        """Tell people which flow it is, after its answer. Override it to ask the backend; it must not raise."""
        return self.refer_to(flow_id)
