"""Direct runs of a fake Langflow, and what it keeps of them: messages, traces, and their state as jobs."""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from dagma.testing import shapes
from dagma.testing.behaviour import (
    Behaviour,
    ComponentFailed,
    FakeAnswer,
    FakeCall,
    HumanNeeded,
    VariableMissing,
    answer_of,
)
from dagma.testing.fake_store import FakeStore
from dagma.testing.http_server import FakeResponse, RecordedRequest

_V1_FIELDS: Mapping[str, type] = {
    "input_value": str,
    "input_type": str,
    "output_type": str,
    "tweaks": dict,
    "session_id": str,
}


@dataclass
class KeptRun:
    """A direct run, as far as it got."""

    id: str
    flow: dict[str, Any]
    call: FakeCall
    state: Literal["in_progress", "completed", "failed", "lost"] = "in_progress"
    messages: list[dict[str, Any]] = field(default_factory=list)
    answer: FakeAnswer | None = None
    output: str | None = None


class FakeRuns:
    """Runs flows while the caller waits, and answers requests for what it keeps of the runs.

    Args:
        store: The flows.
    """

    def __init__(self, store: FakeStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._runs: dict[str, KeptRun] = {}

    def v1(self, name: str, request: RecordedRequest) -> FakeResponse:
        """Answer a request to /api/v1/run."""
        flow = self._store.find_flow(name)
        if flow is None:
            return FakeResponse(404, {"detail": f"Flow identifier {name} not found"})
        if request.body and request.json() is None:
            return FakeResponse(422, shapes.unprocessable(["body"], "JSON decode error"))
        body = _v1_body(request.json())
        # Langflow runs what it can't read on an empty input, and says so nowhere but here.
        inputs = {"input_value": body["input_value"]} if body.get("input_value") else {}
        call = _call(flow, body)
        streamed = request.query.get("stream") == "true"
        run = self._begin(flow, call)
        try:
            answer = _run(self._store.behaviour(flow["id"]), call)
        except ComponentFailed as failure:
            self._fail(run, _error(failure))
            if streamed:
                return FakeResponse(200, stream=_stream(_event("error", _error(failure))))
            return FakeResponse(500, shapes.v1_failure(failure.component, failure.message))
        except HumanNeeded:
            self._fail(run)
            return FakeResponse(
                400, {"detail": "This flow uses Human-in-the-Loop, which the v1 run API cannot execute."}
            )
        output = (shapes.component_ids(flow) or ["ChatOutput"])[-1]
        said = shapes.message(answer.text, call.session_id, shapes.feeder(flow, output), answer) | {"run_id": run.id}
        self._complete(run, said, output, answer)
        result = shapes.v1_result(inputs, output, said)
        if streamed:
            return FakeResponse(200, stream=_stream(*_v1_events(call, answer, said, result)))
        return FakeResponse(200, result)

    def lose(self) -> None:
        """Lose the runs that have not ended, as a Langflow that is killed and started again does."""
        with self._lock:
            for run in self._runs.values():
                if run.state == "in_progress":
                    run.state = "lost"

    def forget(self) -> None:
        """Forget all runs."""
        with self._lock:
            self._runs.clear()

    def messages(self, request: RecordedRequest) -> FakeResponse:
        """Answer a request for messages: the newest, the oldest of them first."""
        limit, offset = int(request.query.get("limit", 100)), int(request.query.get("offset", 0))
        newest = [message for run in self._chosen(request) for message in run.messages]
        newest.sort(key=lambda message: str(message["timestamp"]), reverse=True)
        return FakeResponse(200, newest[offset : offset + limit][::-1])

    def traces(self, request: RecordedRequest) -> FakeResponse:
        """Answer a request for traces, which Langflow writes when a run has ended."""
        ended = [run for run in self._chosen(request) if run.state in ("completed", "failed")]
        listed = [{**self._trace(run), "sessionId": run.call.session_id, "spans": None} for run in ended]
        return FakeResponse(200, {"traces": listed, "total": len(listed), "pages": 1})

    def trace(self, run_id: str) -> FakeResponse | None:
        """Answer a request for the trace of a run; None where no such run is kept."""
        with self._lock:
            run = self._runs.get(run_id)
        return None if run is None or run.state in ("in_progress", "lost") else FakeResponse(200, self._trace(run))

    def status(self, run_id: str) -> FakeResponse | None:
        """Answer a request for the state of a run; None where no such run is kept."""
        with self._lock:
            run = self._runs.get(run_id)
        if run is None:
            return None
        if run.state in ("failed", "lost"):
            detail = {"type": "worker_lost"} if run.state == "lost" else None
            return FakeResponse(500, shapes.refusal("JOB_FAILED", "Job failed", job_id=run_id, error_detail=detail))
        if run.state == "in_progress":
            return FakeResponse(200, shapes.v2_job(run.flow["id"], run_id, run.state))
        text = run.answer.text if run.answer is not None else None
        result = shapes.v2_result(run.flow["id"], run.call.session_id, run_id, run.output, text)
        return FakeResponse(200, result)

    def _begin(self, flow: dict[str, Any], call: FakeCall) -> KeptRun:
        """Keep a run that begins, with what the user said."""
        run = KeptRun(str(uuid4()), flow, call)
        if _stores(flow, "ChatInput"):
            self._say(run, shapes.user_message(call.input_value, call.session_id))
        with self._lock:
            self._runs[run.id] = run
        return run

    def _complete(self, run: KeptRun, said: Mapping[str, Any], output: str, answer: FakeAnswer) -> None:
        """Keep what a run answered, unless it was lost before."""
        with self._lock:
            if run.state != "in_progress":
                return
            run.state, run.output, run.answer = "completed", output, answer
        if _stores(run.flow, "ChatOutput"):
            self._say(run, said)

    def _fail(self, run: KeptRun, message: Mapping[str, Any] | None = None) -> None:
        """Keep that a run has failed, with the message in which a component says why."""
        with self._lock:
            if run.state != "in_progress":
                return
            run.state = "failed"
        if message is not None:
            self._say(run, message)

    def _chosen(self, request: RecordedRequest) -> list[KeptRun]:
        session, flow_id = request.query.get("session_id"), request.query.get("flow_id")
        with self._lock:
            runs = list(self._runs.values())
        return [run for run in runs if session in (None, run.call.session_id) and flow_id in (None, run.flow["id"])]

    def _say(self, run: KeptRun, message: Mapping[str, Any]) -> None:
        kept = {
            "session_id": run.call.session_id,
            "sender": "Machine",
            **message,
            "id": str(uuid4()),
            "flow_id": run.flow["id"],
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC"),
            "session_metadata": {"graph_run_id": run.id},
        }
        run.messages.append({name: value for name, value in kept.items() if name != "run_id"})

    def _trace(self, run: KeptRun) -> dict[str, Any]:
        names = [shapes.display_name(run.flow, each) for each in shapes.component_ids(run.flow)]
        trace = shapes.trace(run.id, run.flow["id"], names, run.answer)
        text = run.answer.text if run.answer is not None else None
        output = {"message": {"text": text}} if run.state == "completed" else {"error": "failed"}
        return {**trace, "status": "ok" if run.state == "completed" else "error", "output": output}


def _run(behaviour: Behaviour, call: FakeCall) -> FakeAnswer:
    try:
        return answer_of(behaviour(call))
    except VariableMissing as missing:
        return answer_of(missing.text)
    except (ComponentFailed, HumanNeeded):
        raise
    except Exception as error:
        raise ComponentFailed(type(error).__name__, str(error)) from error


def _v1_body(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        return {}
    for name, kind in _V1_FIELDS.items():
        if not isinstance(body.get(name), kind | None):
            return {}
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Half a surrogate pair is JSON, but no text.
        return {}
    return body


def _call(flow: Mapping[str, Any], body: Mapping[str, Any]) -> FakeCall:
    return FakeCall(
        input_value=body.get("input_value") or "",
        tweaks=body.get("tweaks") or {},
        session_id=body.get("session_id") or flow["id"],
    )


def _v1_events(
    call: FakeCall, answer: FakeAnswer, said: Mapping[str, Any], result: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    yield _event("add_message", shapes.user_message(call.input_value, call.session_id))
    for word in answer.words():
        yield _event("token", {"chunk": word, "id": "message"})
    yield _event("add_message", said)
    yield _event("end", {"result": result})


def _event(name: str, data: Any) -> dict[str, Any]:
    return {"event": name, "data": data}


def _error(failure: ComponentFailed) -> dict[str, Any]:
    return shapes.error_message(failure.message, failure.component)


def _stream(*events: dict[str, Any]) -> Iterator[str]:
    # Bare JSON and blank lines, though the content type promises "data: ".
    for event in events:
        yield json.dumps(event) + "\n\n"


def _stores(flow: Mapping[str, Any], kind: str) -> bool:
    """Whether a flow's chat input or output stores its message."""
    for node in (flow.get("data") or {}).get("nodes", []):
        template = node.get("data", {}).get("node", {}).get("template", {})
        if node.get("data", {}).get("type") == kind:
            return bool(template.get("should_store_message", {}).get("value", True))
    return False
