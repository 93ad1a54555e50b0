"""Direct runs of a fake Langflow, and what it tells of all runs that it keeps: messages and traces."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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


class FakeRuns:
    """Answers requests to /api/v1/run and /api/v1/monitor.

    Args:
        store: The flows.
        jobs: Runs them.
    """

    def __init__(self, store: FakeStore, jobs: FakeJobs) -> None:
        self._store = store
        self._jobs = jobs

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
    names = [shapes.display_name(job.flow, each) for each in shapes.component_ids(job.flow)]
    trace = shapes.trace(job.id, job.flow["id"], names, job.answer)
    text = job.answer.text if job.answer is not None else None
    output = {"message": {"text": text}} if job.state == "completed" else {"error": "failed"}
    return {**trace, "status": "ok" if job.state == "completed" else "error", "output": output}
