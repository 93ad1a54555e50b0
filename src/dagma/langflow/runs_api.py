"""Direct runs: one request, one answer."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from dagma.langflow.error_responses import error_of, flow_failed
from dagma.langflow.errors import MalformedResponse, quoting
from dagma.langflow.events import EventReader, FlowEvent, error_component
from dagma.langflow.flows_api import FlowsApi
from dagma.langflow.http.event_stream import lines
from dagma.langflow.http.patience import Deadline
from dagma.langflow.http.transport import Request, StreamReply
from dagma.langflow.result import CallResult
from dagma.langflow.run_request import InputType, OutputType, refuse_ignored_input, v1_body, v1_path
from dagma.langflow.untrusted_json import json_object


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
    ) -> CallResult:
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
            The result, with the response as it came in `raw`.

        Raises:
            LangflowError: There is no answer; its `outcome` says whether the flow may have run.
        """
        body = v1_body(
            input_value, input_type=input_type, output_type=output_type, tweaks=tweaks, session_id=session_id
        )
        path, deadline = v1_path(flow_id), self._deadline(timeout)
        if tweaks:
            self._check_tweaks(flow_id, tweaks, deadline)
        reply = self._send(
            "POST",
            path,
            f"run of flow {flow_id!r}",
            deadline=deadline,
            idempotent=False,
            payload=body,
        )
        raw = json_object(reply)
        with quoting(lambda: reply.excerpt):
            refuse_ignored_input(raw, input_value)
            # An error or an answer without output inside a 200 is an error.
            return replace(CallResult.from_v1(raw, redactor=reply.redactor), seconds=reply.seconds)

    def stream(
        self,
        flow_id: str,
        input_value: str,
        *,
        input_type: InputType = "chat",
        output_type: OutputType = "chat",
        tweaks: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        timeout: float | None = None,
    ) -> Iterator[FlowEvent]:
        """Run a flow and yield its events, by `POST /api/v1/run/{flow_id}?stream=true`.

        Tokens come one by one where the component's `stream` is on. Breaking off the iteration stops the flow, other
        than in a plain `run`, whose arguments it takes.

        Yields:
            The events. The last has the kind `finished` and the `result`.

        Raises:
            LangflowError: There is no answer; its `outcome` says whether the flow may have run.
        """
        body = v1_body(
            input_value, input_type=input_type, output_type=output_type, tweaks=tweaks, session_id=session_id
        )
        deadline = self._deadline(timeout)
        if tweaks:
            self._check_tweaks(flow_id, tweaks, deadline)
        stack, reply = self._retry.call(
            lambda: self._opened(flow_id, body, deadline), deadline=deadline, idempotent=False
        )
        with stack:
            yield from self._events(reply, flow_id, input_value)

    def _opened(self, flow_id: str, body: Mapping[str, Any], deadline: Deadline) -> tuple[ExitStack, StreamReply]:
        request = Request("POST", v1_path(flow_id), params={"stream": "true"}, payload=body)
        with ExitStack() as stack:
            reply = stack.enter_context(self._transport.stream(request, deadline))
            if not reply.is_ok:
                raise error_of(self._transport.read(reply), f"stream of flow {flow_id!r}")
            return stack.pop_all(), reply

    def _events(self, reply: StreamReply, flow_id: str, input_value: str) -> Iterator[FlowEvent]:
        reader = EventReader()
        for line in lines(reply.chunks, longest=self._transport.max_body_bytes):
            # Langflow 1.13 sends bare JSON where the content type promises "data: ".
            text = line.strip().removeprefix("data:").strip()
            if not text or text.startswith(":"):
                continue
            for event in reader.read(text):
                data = event.data.get("data")
                data = data if isinstance(data, Mapping) else {}
                if event.kind == "failed":
                    raise flow_failed(
                        event.text or "",
                        f"stream of flow {flow_id!r}",
                        {"status": 200},
                        error_component(data),
                        redactor=self._transport.redactor(),
                    )
                if event.kind == "finished":
                    raw = data.get("result")
                    if not isinstance(raw, Mapping):
                        raise MalformedResponse("The stream's end event holds no result.", status=200)
                    refuse_ignored_input(raw, input_value)
                    result = CallResult.from_v1(raw, way="v1_stream", redactor=self._transport.redactor())
                    yield replace(event, result=replace(result, seconds=time.monotonic() - reply.started))
                    return
                yield event
        raise MalformedResponse(
            f"The stream of flow {flow_id!r} ended before the flow did.",
            fix="Look for a proxy that ends long responses, and at Langflow's log.",
            status=200,
        )
