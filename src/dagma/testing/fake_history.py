"""What a fake Langflow keeps of its direct runs: messages, traces, and their state as jobs."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from dagma.testing import shapes
from dagma.testing.behaviour import FakeAnswer, FakeCall
from dagma.testing.exchange import FakeResponse, RecordedRequest


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


class FakeHistory:
    """Keeps runs, and answers requests for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, KeptRun] = {}

    def begin(self, flow: dict[str, Any], call: FakeCall) -> KeptRun:
        """Keep a run that begins, with what the user said."""
        run = KeptRun(str(uuid4()), flow, call)
        if _stores(flow, "ChatInput"):
            self._say(run, shapes.user_message(call.input_value, call.session_id))
        with self._lock:
            self._runs[run.id] = run
        return run

    def complete(self, run: KeptRun, said: Mapping[str, Any], output: str, answer: FakeAnswer | None) -> None:
        """Keep what a run answered, unless it was lost before."""
        with self._lock:
            if run.state != "in_progress":
                return
            run.state, run.output, run.answer = "completed", output, answer
        if _stores(run.flow, "ChatOutput"):
            self._say(run, said)

    def fail(self, run: KeptRun, message: Mapping[str, Any] | None = None) -> None:
        """Keep that a run has failed, with the message in which a component says why."""
        with self._lock:
            if run.state != "in_progress":
                return
            run.state = "failed"
        if message is not None:
            self._say(run, message)

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
        by_model = run.answer if run.answer is not None and run.answer.model else None
        trace = shapes.trace(run.id, run.flow["id"], names, by_model)
        text = run.answer.text if run.answer is not None else None
        output = {"message": {"text": text}} if run.state == "completed" else {"error": "failed"}
        return {**trace, "status": "ok" if run.state == "completed" else "error", "output": output}


def _stores(flow: Mapping[str, Any], kind: str) -> bool:
    """Whether a flow's chat input or output stores its message."""
    for node in (flow.get("data") or {}).get("nodes", []):
        template = node.get("data", {}).get("node", {}).get("template", {})
        if node.get("data", {}).get("type") == kind:
            return bool(template.get("should_store_message", {}).get("value", True))
    return False
