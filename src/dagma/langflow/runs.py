"""Direct runs: one request, one answer."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dagma.langflow.body import json_object
from dagma.langflow.call import refuse_ignored_input, v1_body
from dagma.langflow.flows import FlowsApi
from dagma.langflow.result import CallResult
from dagma.langflow.types import InputType, OutputType


class RunsApi(FlowsApi):
    """Runs flows and waits for their answers."""

    def run(
        self,
        flow_id: str,
        input_value: str,
        *,
        input_type: InputType = "chat",
        output_type: OutputType = "chat",
        tweaks: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Run a flow and wait for its answer, by `POST /api/v1/run/{flow_id}`.

        A connection that breaks does not stop the flow: it runs to its end and is paid for. So this is sent again
        only where it surely did not run.

        Args:
            flow_id: Id or endpoint name of the flow.
            input_value: The input.
            input_type: Which kind of input component gets it.
            output_type: Which kind of output component is asked for.
            tweaks: Values by field, by component id, for this run.
            session_id: Session whose memory the flow uses; the flow's id by default.
            timeout: Seconds for the whole call, retries included; the time-outs' `total` by default.

        Returns:
            The raw JSON; `CallResult.from_v1` reads it.

        Raises:
            LangflowError: There is no answer; its `outcome` says whether the flow may have run.
        """
        body = v1_body(
            input_value, input_type=input_type, output_type=output_type, tweaks=tweaks, session_id=session_id
        )
        deadline = self._deadline(timeout)
        self._check_tweaks(flow_id, tweaks, deadline)
        reply = self._send(
            "POST",
            f"/api/v1/run/{quote(flow_id, safe='')}",
            f"run of flow {flow_id!r}",
            deadline=deadline,
            idempotent=False,
            payload=body,
        )
        raw = json_object(reply)
        refuse_ignored_input(raw, input_value)
        # An error or an answer without output inside a 200 is an error.
        CallResult.from_v1(raw)
        return raw
