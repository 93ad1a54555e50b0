"""The endpoints of a fake Langflow that run flows, directly and in the background, and tell of their runs."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dagma.langflow.flow import uuid_or_none
from dagma.testing import shapes
from dagma.testing.behaviour import ComponentFailed, FakeCall, HumanNeeded
from dagma.testing.fake_jobs import FakeJob, FakeJobs
from dagma.testing.fake_store import FakeStore
from dagma.testing.http_server import FakeResponse, RecordedRequest

_V1_FIELDS: Mapping[str, type] = {
    "input_value": str,
    "input_type": str,
    "output_type": str,
    "tweaks": dict,
    "session_id": str,
}
_CUT_MARK = "..."


class FakeRuns:
    """Answers requests to /api/v1/run, /api/v2/workflows and /api/v1/monitor.

    Args:
        store: The flows.
        jobs: Runs them.
        max_text_length: Where texts in the state of jobs are cut.
    """

    def __init__(self, store: FakeStore, jobs: FakeJobs, max_text_length: int) -> None:
        self._store = store
        self._jobs = jobs
        self._max_text_length = max_text_length

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
        call = FakeCall(body.get("input_value") or "", body.get("tweaks") or {}, body.get("session_id") or flow["id"])
        job, outcome = self._jobs.run(flow, call, self._store.behaviour(flow["id"]))
        told = [event for event in job.events if event.get("event") in ("add_message", "error")]
        streamed = request.query.get("stream") == "true"
        if isinstance(outcome, HumanNeeded):
            detail = "This flow uses Human-in-the-Loop, which the v1 run API cannot execute."
            return FakeResponse(400, {"detail": detail})
        if isinstance(outcome, ComponentFailed):
            if streamed:
                return FakeResponse(200, stream=_stream(told))
            return FakeResponse(500, shapes.v1_failure(outcome.component, outcome.message))
        said = shapes.message(outcome.text, call.session_id, shapes.feeder(flow, job.output), outcome)
        result = shapes.v1_result(inputs, job.output, said | {"run_id": job.id})
        if streamed:
            tokens = [{"event": "token", "data": {"chunk": word, "id": "message"}} for word in outcome.words()]
            end = {"event": "end", "data": {"result": result}}
            return FakeResponse(200, stream=_stream([*told[:-1], *tokens, told[-1], end]))
        return FakeResponse(200, result)

    def v2(self, request: RecordedRequest, rest: list[str]) -> FakeResponse:
        """Answer a request to /api/v2/workflows."""
        match [request.method, *rest]:
            case ["POST"]:
                return self._start(request.json())
            case ["GET"]:
                return self._with_job(request.query.get("job_id"), self._status)
            case ["POST", "stop"]:
                return self._with_job((request.json() or {}).get("job_id"), self._stop)
            case ["GET", "pending"]:
                return self._pending(request.query.get("flow_id"))
            case ["POST", job_id, "resume"]:
                return self._with_job(job_id, lambda job: self._resume(job, request.json() or {}))
            case ["GET", job_id, "events"]:
                return self._with_job(job_id, lambda job: self._events(job, request.headers.get("last-event-id")))
        return FakeResponse(404, {"detail": "Not Found"})

    def _start(self, body: Any) -> FakeResponse:
        if not isinstance(body, dict):
            return FakeResponse(422, shapes.unprocessable(["body"], "Input should be a valid dictionary"))
        flow_id = str(uuid_or_none(body.get("flow_id", "")))
        flow = self._store.find_flow(flow_id)
        if flow is None:
            return FakeResponse(404, shapes.refusal("FLOW_NOT_FOUND", "Flow not found", flow_id=flow_id))
        if body.get("mode") != "background":
            return FakeResponse(501, {"detail": "The fake runs workflows in the background only"})
        call = FakeCall(body.get("input_value", ""), body.get("tweaks") or {}, body.get("session_id") or flow_id)
        job = self._jobs.submit(flow, call, self._store.behaviour(flow_id), body.get("idempotency_key"))
        # Whatever became of the job, and whichever flow it runs: Langflow says queued, and the flow that was asked for.
        return FakeResponse(200, shapes.v2_job(flow_id, job.id, "queued"))

    def _status(self, job: FakeJob) -> FakeResponse:
        flow_id = job.flow["id"]
        if job.state == "failed":
            body = shapes.refusal("JOB_FAILED", "Job failed", job_id=job.id, error_detail=job.error)
            return FakeResponse(500, body)
        if job.state != "completed":
            return FakeResponse(200, shapes.v2_job(flow_id, job.id, job.state))
        if job.answer is None:
            return FakeResponse(200, shapes.v2_result(flow_id, job.call.session_id, job.id, None, None))
        text = job.answer.text
        if len(text) > self._max_text_length:
            text = text[: self._max_text_length] + _CUT_MARK
        return FakeResponse(200, shapes.v2_result(flow_id, job.call.session_id, job.id, job.output, text))

    def _stop(self, job: FakeJob) -> FakeResponse:
        if job.is_direct:
            return FakeResponse(409, shapes.refusal("JOB_NOT_CANCELLABLE", "Job cannot be stopped", job_id=job.id))
        if job.state == "cancelled":
            message = f"Job {job.id} is already cancelled."
        elif job.over:
            message = f"Job {job.id} already finished ({job.state})."
        else:
            self._jobs.stop(job)
            message = f"Job {job.id} cancelled successfully."
        return FakeResponse(200, {"job_id": job.id, "message": message})

    def _pending(self, flow_id: str | None) -> FakeResponse:
        requests = [_request(job) for job in self._jobs.all() if job.flow["id"] == flow_id and job.question is not None]
        return FakeResponse(200, requests)

    def _resume(self, job: FakeJob, body: Mapping[str, Any]) -> FakeResponse:
        action = (body.get("decision") or {}).get("action_id")
        if job.question is not None and action not in job.question.decisions:
            return FakeResponse(422, shapes.refusal("INVALID_DECISION", "Invalid decision", job_id=job.id))
        if job.question is None or body.get("request_id") != job.request_id:
            return FakeResponse(409, shapes.refusal("NOT_RESUMABLE", "Job is not resumable", job_id=job.id))
        self._jobs.resume(job, str(action))
        return FakeResponse(200, {"job_id": job.id, "status": "resuming", "message": "Resume accepted"})

    def _events(self, job: FakeJob, last_event_id: str | None) -> FakeResponse:
        after = int(last_event_id) if last_event_id is not None and last_event_id.isdecimal() else 0
        return FakeResponse(200, stream=self._jobs.stream(job, after))

    def _with_job(self, job_id: Any, answer: Any) -> FakeResponse:
        job = self._jobs.get(job_id) if isinstance(job_id, str) else None
        if job is None:
            return FakeResponse(404, shapes.refusal("JOB_NOT_FOUND", "Job not found", job_id=job_id))
        response: FakeResponse = answer(job)
        return response

    def monitor(self, request: RecordedRequest, rest: list[str]) -> FakeResponse:
        """Answer a request for messages or traces."""
        match rest:
            case ["messages"]:
                # The newest, the oldest of them first.
                limit, offset = int(request.query.get("limit", 100)), int(request.query.get("offset", 0))
                newest = [message for job in self._chosen(request) for message in job.messages]
                newest.sort(key=lambda message: str(message["timestamp"]), reverse=True)
                return FakeResponse(200, newest[offset : offset + limit][::-1])
            case ["traces"]:
                ended = [job for job in self._chosen(request) if job.is_traced]
                listed = [{**_trace(job), "sessionId": job.call.session_id, "spans": None} for job in ended]
                return FakeResponse(200, {"traces": listed, "total": len(listed), "pages": 1})
            case ["traces", job_id] if (job := self._jobs.get(job_id)) is not None and job.is_traced:
                return FakeResponse(200, _trace(job))
        return FakeResponse(404, {"detail": "Not Found"})

    def _chosen(self, request: RecordedRequest) -> list[FakeJob]:
        session, flow_id = request.query.get("session_id"), request.query.get("flow_id")
        return [
            job
            for job in self._jobs.all()
            if session in (None, job.call.session_id) and flow_id in (None, job.flow["id"])
        ]


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


def _stream(events: Iterable[dict[str, Any]]) -> Iterator[str]:
    # Bare JSON and blank lines, though the content type promises "data: ".
    for event in events:
        yield json.dumps(event) + "\n\n"


def _trace(job: FakeJob) -> dict[str, Any]:
    trace = shapes.trace(job.id, job.flow["id"], job.answer)
    text = job.answer.text if job.answer is not None else None
    output = {"message": {"text": text}} if job.state == "completed" else {"error": "failed"}
    return {**trace, "status": "ok" if job.state == "completed" else "error", "output": output}


def _request(job: FakeJob) -> dict[str, Any]:
    question = job.question
    decisions = list(question.decisions) if question is not None else []
    return {
        "job_id": job.id,
        "flow_id": job.flow["id"],
        "session_id": job.call.session_id,
        "request_id": job.request_id,
        "kind": "node_input",
        "prompt": str(question),
        "options": [{"action_id": decision, "label": decision.title()} for decision in decisions],
        "allowed_decisions": decisions,
    }
