"""What past runs have left on a server: listed, deleted, and read for what became of a call whose caller saw no end.

Langflow keeps a session's messages, which name their run, and a trace of each run that has ended. It keeps a run's
state as a job's, whose heartbeat ends with the process that runs it: a run that died with Langflow is known as lost.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from dagma.backoff import Backoff
from dagma.langflow.error_responses import flow_failed
from dagma.langflow.errors import (
    CallTimeout,
    CompletedWithoutOutput,
    FlowFailed,
    FlowNotFound,
    JobNotFound,
    MalformedResponse,
)
from dagma.langflow.events import FlowEvent, error_component
from dagma.langflow.flow import checked_uuid
from dagma.langflow.following import FollowingApi
from dagma.langflow.result import CallResult
from dagma.langflow.untrusted_json import (
    json_object,
    json_objects,
    malformed,
    moment_or_none,
    objects,
    text_or_none,
    walk,
)
from dagma.langflow.whole_answers import check_lists, perhaps_cut, uncut

PAGE = 200
"""Langflow gives no more at a time."""
RunState = Literal["running", "completed", "failed", "lost", "gone"]
_MOST_PAGES = 10
# Langflow 1.13 stored them within half a second.
_OUTPUTS = Backoff(first=0.4, longest=1.0)
_OUTPUT_LOOKS = 4


@dataclass(frozen=True)
class PastRun:
    """A run that Langflow knows.

    Args:
        run_id: Its id, which is also that of its trace and of its job.
        session_id: Its session.
        state: `running`: its process gives signs of life. `completed`, `failed`: it has ended. `lost`: the process that
            ran it has died. `gone`: Langflow does not tell any more that it has answered.
        began_at: When it stored its first message, or began; by Langflow's clock.
        asked: The user's message, where the flow stores it.
        messages: What its components said, in order.
        trace: Its trace, where it has ended and Langflow traces runs.
    """

    run_id: str
    session_id: str
    state: RunState
    began_at: datetime | None = None
    asked: str | None = None
    messages: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    trace: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StoredRecord:
    """A message or a trace, without its content.

    Attributes:
        id: Its id.
        session_id: The session that it belongs to.
        at: When it was stored, or when the run began.
    """

    id: str
    session_id: str
    at: datetime


class PastRunsApi(FollowingApi):
    """Finds runs again, and what they answered; lists and deletes their messages and traces."""

    def past_runs(self, session_id: str, *, flow_id: str | None = None) -> list[PastRun]:
        """Return the runs of a session: those that have stored a message, and those that have ended.

        A run that has only just begun is not among them, nor is one of a flow that stores no messages before it ends.

        Args:
            session_id: The session.
            flow_id: Id of the flow. Without it only runs of the key's own flows are found.
        """
        scope = {"session_id": session_id, **({"flow_id": flow_id} if flow_id else {})}
        traces = {trace["id"]: trace for trace in self._traces(**scope) if text_or_none(trace.get("id"))}
        said: dict[str, list[Mapping[str, Any]]] = {}
        for message in self._messages(**scope):
            if (run_id := text_or_none(walk(message, "session_metadata", "graph_run_id"))) is not None:
                said.setdefault(run_id, []).append(message)
        return [
            self._past_run(run_id, session_id, said.get(run_id, []), traces.get(run_id))
            for run_id in dict.fromkeys([*said, *traces])
        ]

    def stored_before(self, flow_id: str, moment: datetime, *, session_prefix: str) -> bool:
        """Whether Langflow shows this key what a user said to a flow before a moment, in a session of some prefix.

        The newest 2,000 messages of the flow are looked at.

        Args:
            flow_id: Id of the flow.
            moment: The moment, by Langflow's clock.
            session_prefix: How the session's name begins.
        """
        for page in range(_MOST_PAGES):
            messages = self._messages(flow_id=flow_id, offset=str(page * PAGE))
            for message in messages:
                began = moment_or_none(message.get("timestamp"))
                is_in_session = str(message.get("session_id")).startswith(session_prefix)
                if is_in_session and message.get("sender") == "User" and began is not None and began <= moment:
                    return True
            if len(messages) < PAGE:
                return False
        return False

    def past_answer(self, run: PastRun) -> CallResult:
        """Return what a run answered, or raise why there is no answer.

        Args:
            run: The run.

        Raises:
            FlowFailed: It has failed.
            JobLost: Its Langflow died.
            CallTimeout: It has not ended.
            LangflowError: What it answered can't be had.
        """
        redactor = self._transport.redactor()
        if run.state == "failed":
            raise self._failure(run)
        for look in range(1, _OUTPUT_LOOKS + 1):
            # Langflow stores what the components of a run gave a moment after its end.
            status = self.status(run.run_id)
            if status.error is not None:
                raise status.error
            if not status.over:
                raise CallTimeout(f"The run {run.run_id} has not ended.", fix="Look for its answer later.")
            if status.raw.get("outputs") or look == _OUTPUT_LOOKS:
                break
            time.sleep(_OUTPUTS.seconds(look))
        try:
            result = CallResult.from_v2(status.raw, redactor=redactor)
        except CompletedWithoutOutput:
            # Langflow keeps what components gave for the last runs of a flow only.
            result = _from_trace(run)
        if perhaps_cut(result):
            result = uncut(result, [_event(message) for message in reversed(run.messages)])
        result = replace(result, outputs=_with_data(result, run), session_id=run.session_id)
        check_lists(result)
        return self.with_trace(result)

    def list_messages(self, flow_id: str, *, offset: int = 0, limit: int = PAGE) -> list[StoredRecord]:
        """Return messages of a flow, the newest first.

        Args:
            flow_id: Id of the flow.
            offset: How many newer ones to pass over.
            limit: How many at most, up to 200.
        """
        listed = self._messages(
            flow_id=checked_uuid("flow_id", flow_id), order="DESC", offset=str(offset), limit=str(limit)
        )
        return [_record(each, "session_id", "timestamp") for each in listed]

    def delete_messages(self, message_ids: Sequence[str]) -> None:
        """Delete messages; ids that are gone already are passed over."""
        payload = [checked_uuid("message_id", each) for each in message_ids]
        self._send("DELETE", "/api/v1/monitor/messages", "deletion of messages", payload=payload)

    def list_traces(self, until: datetime, *, page: int = 1) -> list[StoredRecord]:
        """Return a page of 200 traces of the runs that began before a time, the newest first.

        Args:
            until: The time, aware.
            page: Which page, from 1.
        """
        listed = self._traces(end_time=until.astimezone(UTC).isoformat(), page=str(page))
        return [_record(each, "sessionId", "startTime") for each in listed]

    def delete_trace(self, trace_id: str) -> bool:
        """Delete a trace with its spans.

        Returns:
            False where there was none.
        """
        with suppress(FlowNotFound):
            self._send("DELETE", f"/api/v1/monitor/traces/{checked_uuid('trace_id', trace_id)}", "deletion of a trace")
            return True
        return False

    def _messages(self, **params: str) -> list[dict[str, Any]]:
        reply = self._send("GET", "/api/v1/monitor/messages", "list of messages", {"limit": str(PAGE), **params})
        return json_objects(reply)

    def _traces(self, **params: str) -> list[dict[str, Any]]:
        reply = self._send("GET", "/api/v1/monitor/traces", "list of traces", {"size": str(PAGE), **params})
        listed = json_object(reply, outcome="not_run").get("traces")
        if not isinstance(listed, list):
            raise malformed(reply, "no list of traces", outcome="not_run")
        return objects(listed)

    def _past_run(
        self, run_id: str, session_id: str, messages: list[Mapping[str, Any]], trace: Mapping[str, Any] | None
    ) -> PastRun:
        by_user = [message for message in messages if message.get("sender") == "User"]
        moments = [moment_or_none(message.get("timestamp")) for message in messages]
        moments += [moment_or_none(trace.get("startTime"))] if trace is not None else []
        return PastRun(
            run_id=run_id,
            session_id=session_id,
            state=self._state(run_id),
            began_at=min((moment for moment in moments if moment is not None), default=None),
            asked=next((text for message in by_user if isinstance(text := message.get("text"), str)), None),
            messages=tuple(message for message in messages if message.get("sender") != "User"),
            trace=trace,
        )

    def _state(self, run_id: str) -> RunState:
        # The trace does not tell how the run ended: it is an error's as soon as an agent's tool has failed.
        try:
            status = self.status(run_id)
        except JobNotFound:
            return "gone"
        if not status.over:
            return "running"
        if status.state == "completed":
            return "completed"
        return "lost" if walk(status.raw, "detail", "error_detail", "type") == "worker_lost" else "failed"

    def _failure(self, run: PastRun) -> FlowFailed:
        errors = [message for message in run.messages if message.get("category") == "error"]
        said = text_or_none(errors[-1].get("text")) if errors else text_or_none(walk(run.trace, "output", "error"))
        component = error_component(errors[-1]) if errors else None
        return flow_failed(said or "", "run", {"status": None}, component, redactor=self._transport.redactor())


def _from_trace(run: PastRun) -> CallResult:
    """Read what a run answered off its trace, which has the outputs of its last component, or off its last message.

    Raises:
        LangflowError: Neither has any.
    """
    given = walk(run.trace, "output")
    if not (isinstance(given, Mapping) and given):
        answers = [message for message in run.messages if message.get("category") == "message"]
        given = {"message": answers[-1]} if answers else None
    outputs = [] if given is None else [{"component_id": "output", "results": given}]
    body = {"session_id": run.session_id, "outputs": [{"inputs": {}, "outputs": outputs}]}
    return replace(CallResult.from_v1(body), job_id=run.run_id)


def _with_data(result: CallResult, run: PastRun) -> Mapping[str, Any]:
    """Add what a component gave that is no text: a direct run keeps no events, and its trace has that of the last."""
    given = walk(run.trace, "output")
    missing = [component for component, content in result.outputs.items() if content is None]
    if len(missing) != 1 or not isinstance(given, Mapping):
        return result.outputs
    values = [each["data"] if isinstance(walk(each, "data"), Mapping) else each for each in given.values()]
    return {**result.outputs, missing[0]: values[0] if len(values) == 1 else dict(given)}


def _event(message: Mapping[str, Any]) -> FlowEvent:
    source = text_or_none(walk(message, "properties", "source", "id"))
    return FlowEvent("message", component=source, text=text_or_none(message.get("text")), data={"data": message})


def _record(body: Mapping[str, Any], session: str, moment: str) -> StoredRecord:
    key, at = text_or_none(body.get("id")), moment_or_none(body.get(moment))
    if key is None or at is None:
        raise MalformedResponse("Langflow listed a record without an id or a time.", outcome="not_run")
    return StoredRecord(key, text_or_none(body.get(session)) or "", at)
