"""The flows on a Langflow server, and direct runs of them: one request, one answer."""

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from dagma.langflow.error_responses import error_of, flow_failed
from dagma.langflow.errors import (
    FlowNotFound,
    Forbidden,
    LangflowError,
    MalformedResponse,
    Unauthorized,
    nothing_runs_yet,
)
from dagma.langflow.events import EventReader, FlowEvent, error_component, lines
from dagma.langflow.flow import Flow, InputType, OutputType, check_flow_id, checked_uuid, uuid_or_none, v1_body, v1_path
from dagma.langflow.http.connection import Connection
from dagma.langflow.http.transport import Reply, Request, StreamReply, quoting
from dagma.langflow.http.watched_http import Deadline
from dagma.langflow.result import CallResult
from dagma.langflow.untrusted_json import json_object, json_objects, objects, text_or_none

logger = logging.getLogger(__name__)

# The last flows whose tweaks were sent unchecked, by server, which has been told.
_unchecked: deque[tuple[str, str]] = deque(maxlen=1000)


class FlowsApi(Connection):
    """Reads, writes and runs flows. As in all parts of the client, what has no answer raises a `LangflowError`."""

    def find_flow(self, flow_id: str, *, deadline: Deadline | None = None) -> Flow:
        """Return a flow.

        Args:
            flow_id: Id or endpoint name of the flow.
            deadline: When to give up; 30 s from now by default.
        """
        check_flow_id(flow_id)
        deadline = deadline or self._quick_deadline()
        key = uuid_or_none(flow_id) or self._id_of(flow_id, deadline)
        return _read_flow(self._send("GET", f"/api/v1/flows/{key}", f"look-up of flow {key!r}", deadline=deadline))

    def recent_flow(self, flow_id: str, *, deadline: Deadline | None = None) -> Flow:
        """Return a flow that was fetched at most 10 s ago. Callers that ask at the same time share a look-up.

        Args:
            flow_id: Id or endpoint name of the flow.
            deadline: When to give up; 30 s from now by default.
        """
        until = deadline or self._quick_deadline()
        return self._flow_cache.get_or_fetch(
            flow_id, lambda: self.find_flow(flow_id, deadline=until), until.remaining()
        )

    def list_flows(self, *, deadline: Deadline | None = None) -> list[Flow]:
        """Return the flows of the user without their graphs, and so without versions.

        Args:
            deadline: When to give up; 30 s from now by default.
        """
        params = {"get_all": "true", "remove_example_flows": "true", "header_flows": "true"}
        reply = self._send("GET", "/api/v1/flows/", "list of flows", params, deadline=deadline)
        with quoting(lambda: reply.excerpt):
            return [Flow.of(body) for body in json_objects(reply)]

    def list_projects(self) -> dict[str, str]:
        """Return the names of the user's projects, which hold flows, by id: the `folder_id` of a flow's JSON."""
        reply = self._send("GET", "/api/v1/projects/", "list of projects")
        found = ((text_or_none(body.get("id")), text_or_none(body.get("name"))) for body in json_objects(reply))
        return {project_id: name for project_id, name in found if project_id and name}

    def upsert_flow(self, flow: Mapping[str, Any], *, flow_id: str | None = None) -> tuple[Flow, bool]:
        """Create a flow under its id, or change the one that has it: what the JSON leaves out stays as it is.

        Args:
            flow: The flow's JSON, as exported from Langflow or kept in files.
            flow_id: The id, if not the one in the JSON.

        Returns:
            The flow as stored, and whether it was created. On creation Langflow numbers a name that is taken: the
            stored flow is then called "name (1)".

        Raises:
            Conflict: Another flow has the endpoint name, or, on a change, the name.
        """
        key = checked_uuid("flow_id", flow_id or flow.get("id") or "")
        subject = f"upload of flow {key!r}"
        reply = self._send("PUT", f"/api/v1/flows/{key}", subject, payload={**flow, "id": key})
        self._flow_cache.forget()
        return _read_flow(reply), reply.status == 201

    def delete_flow(self, flow_id: str) -> None:
        """Delete a flow.

        Raises:
            FlowNotFound: There is none with this id.
        """
        key = checked_uuid("flow_id", flow_id)
        self._flow_cache.forget()
        # Not idempotent: the second of two deletions is answered with 404.
        self._send("DELETE", f"/api/v1/flows/{key}", f"deletion of flow {key!r}", idempotent=False)

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
            timeout: Seconds for the whole call, retries included; the client's by default.

        Returns:
            The result, with the response as it came in `raw`.

        Raises:
            LangflowError: There is no answer; its `outcome` says whether the flow may have run.
        """
        body = v1_body(
            input_value, input_type=input_type, output_type=output_type, tweaks=tweaks, session_id=session_id
        )
        path, deadline = v1_path(flow_id), self._deadline(timeout)
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
            _refuse_ignored_input(raw, input_value)
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
        self._check_tweaks(flow_id, tweaks, deadline)
        stack, reply = self._retry.call(
            lambda: self._opened(flow_id, body, deadline), deadline=deadline, idempotent=False
        )
        with stack:
            yield from self._events(reply, flow_id, input_value)

    def _check_tweaks(self, flow_id: str, tweaks: Mapping[str, Any] | None, deadline: Deadline) -> None:
        """Refuse tweaks of components or fields that a flow does not have, which Langflow ignores without a word.

        The flow may have been fetched 10 s ago.
        """
        if not tweaks:
            return
        with nothing_runs_yet():
            try:
                flow = self.recent_flow(flow_id, deadline=deadline)
            except LangflowError as error:
                if not is_refused_look_up(error):
                    raise
                # The run itself may work, as behind a gateway that passes on nothing else, and says where it does not.
                _warn_unchecked(self.base_url, flow_id, error.cause)
                return
        flow.check_tweaks(tweaks)

    def _id_of(self, endpoint_name: str, deadline: Deadline) -> str:
        for header in self.list_flows(deadline=deadline):
            if header.endpoint_name == endpoint_name:
                return checked_uuid("flow_id", header.id)
        raise FlowNotFound(f"Langflow has no flow with the id or endpoint name {endpoint_name!r}.")

    @nothing_runs_yet()
    def _resolved(self, flow_id: str, deadline: Deadline) -> str:
        """Return the id of a flow given by id or endpoint name, since v2 takes ids only."""
        check_flow_id(flow_id)
        return uuid_or_none(flow_id) or self.recent_flow(flow_id, deadline=deadline).id

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
                    _refuse_ignored_input(raw, input_value)
                    result = CallResult.from_v1(raw, redactor=self._transport.redactor())
                    yield replace(event, result=replace(result, seconds=time.monotonic() - reply.started))
                    return
                yield event
        raise MalformedResponse(
            f"The stream of flow {flow_id!r} ended before the flow did.",
            fix="Look for a proxy that ends long responses, and at Langflow's log.",
            status=200,
        )


def _warn_unchecked(base_url: str, flow_id: str, cause: str) -> None:
    """Warn once for a flow, and not for each call of a batch."""
    if (base_url, flow_id) in _unchecked:
        return
    _unchecked.append((base_url, flow_id))
    logger.warning(
        "Tweaks of flow %r are sent unchecked, since the flow can't be looked up at %s: %s A tweak of a component or "
        "field that the flow does not have changes nothing, and nobody says so.",
        flow_id,
        base_url,
        cause,
    )


def is_refused_look_up(error: LangflowError) -> bool:
    """Whether a server does not let a flow be looked up, or knows no such request; it may run the flow all the same."""
    return isinstance(error, Unauthorized | Forbidden | FlowNotFound) or error.status in (405, 501)


def _read_flow(reply: Reply) -> Flow:
    with quoting(lambda: reply.excerpt):
        return Flow.of(json_object(reply, outcome="not_run"))


def _refuse_ignored_input(body: Mapping[str, Any], input_value: str) -> None:
    """Raise if a v1 run says that it ran without the input that was sent.

    Raises:
        MalformedResponse: It ran on an empty input.
    """
    if input_value and any(run.get("inputs") == {} for run in objects(body.get("outputs"))):
        raise MalformedResponse(
            "Langflow could not read the request and ran the flow on an empty input.",
            fix="Look for 'Failed to parse request body' in Langflow's log.",
            status=200,
            outcome="failed",
        )
