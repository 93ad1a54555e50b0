"""The JSON that Langflow 1.13 answers with, as far as a client reads it."""

import json
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from dagma.testing.behaviour import FakeAnswer

CREATED = "2026-01-01T00:00:00+00:00"


def component_ids(flow: Mapping[str, Any]) -> list[str]:
    """Return the ids of a flow's components, each after those that feed it."""
    data = flow.get("data") or {}
    nodes = [node["id"] for node in data.get("nodes", [])]
    sorter = TopologicalSorter(dict.fromkeys(nodes, ()))
    for edge in data.get("edges", []):
        sorter.add(edge["target"], edge["source"])
    try:
        return list(sorter.static_order())
    except CycleError:
        # A loop has no first component; any order will do.
        return nodes


def user_message(text: str, session_id: str) -> dict[str, Any]:
    """Return what the user says; it names no component."""
    source = {"id": None, "display_name": None, "source": None}
    said = message(text, session_id, "")
    return said | {"sender": "User", "properties": {"source": source, "usage": None}}


def feeder(flow: Mapping[str, Any], output: str) -> str:
    """Return the id of the component that feeds an output, which the output's message names in its place."""
    edges = (flow.get("data") or {}).get("edges", [])
    return next((str(edge["source"]) for edge in edges if edge["target"] == output), output)


def message(text: str, session_id: str, source: str, answer: FakeAnswer | None = None) -> dict[str, Any]:
    """Return a chat message, with the usage of the model that wrote it."""
    usage, name = None, source
    if answer is not None and answer.model:
        name, total = answer.model, answer.input_tokens + answer.output_tokens
        usage = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens, "total_tokens": total}
    return {
        "text": text,
        "session_id": session_id,
        "sender": "Machine",
        "error": False,
        "category": "message",
        "properties": {"source": {"id": source, "display_name": source, "source": name}, "usage": usage},
    }


def error_message(text: str, component: str) -> dict[str, Any]:
    """Return the message by which a component says that it raised."""
    source = {"id": component, "display_name": component, "source": component}
    return {"text": f"{text}\n", "error": False, "category": "error", "properties": {"source": source, "usage": None}}


def v1_result(inputs: Mapping[str, Any], output: str, said: Mapping[str, Any]) -> Any:
    """Return the body of a v1 run, which nothing but its messages names."""
    result = {"results": {"message": said}, "component_id": output, "component_display_name": "Chat Output"}
    return {"session_id": said["session_id"], "outputs": [{"inputs": dict(inputs), "outputs": [result]}]}


def v1_failure(component: str, text: str) -> dict[str, Any]:
    """Return the body of a v1 run whose component raised: its detail is JSON in a string."""
    said = f"Error running graph: Error building Component {component}: \n\n{text}"
    return {"detail": json.dumps({"message": said, "traceback": None, "code": None})}


def v2_result(flow_id: str, session_id: str, job_id: str, output: str | None, text: str | None) -> dict[str, Any]:
    """Return the body of a completed v2 run; without an output it is the one that has nothing to say."""
    content = {
        "type": "message",
        "status": "completed",
        "content": text,
        "metadata": {"component_type": "ChatOutput"},
    }
    return {
        "flow_id": flow_id,
        "session_id": session_id,
        "job_id": job_id,
        "object": "response",
        "created_timestamp": CREATED,
        "status": "completed",
        "output": {"reason": "none" if output is None else "single", "text": text, "source": output},
        "errors": [],
        "outputs": {} if output is None else {output: content},
        "has_errors": False,
    }


def v2_job(flow_id: str, job_id: str, state: str) -> dict[str, Any]:
    """Return the body about a job that is not completed."""
    links = {"status": f"/api/v2/workflows?job_id={job_id}", "events": f"/api/v2/workflows/{job_id}/events"}
    return {
        "job_id": job_id,
        "flow_id": flow_id,
        "object": "job",
        "created_timestamp": CREATED,
        "status": state,
        "links": links,
        "errors": [],
    }


def refusal(code: str, text: str, **more: Any) -> dict[str, Any]:
    """Return the body of an error of v2."""
    return {"detail": {"error": text, "code": code, "message": text, **more}}


def unprocessable(place: Sequence[str], text: str) -> dict[str, Any]:
    """Return the body of a 422."""
    return {"detail": [{"type": "value_error", "loc": list(place), "msg": text}]}


def trace(job_id: str, flow_id: str, answer: FakeAnswer | None) -> dict[str, Any]:
    """Return the trace of a run."""
    spans: list[dict[str, Any]] = []
    total = 0
    if answer is not None and answer.model:
        total = answer.input_tokens + answer.output_tokens
        usage = {
            "promptTokens": answer.input_tokens,
            "completionTokens": answer.output_tokens,
            "totalTokens": total,
        }
        model = {"name": answer.model, "type": "llm", "latencyMs": 1, "modelName": answer.model, "tokenUsage": usage}
        # A component repeats what its model reports, as Langflow's own traces do.
        spans.append({"name": "Model", "type": "llm", "latencyMs": 2, "tokenUsage": usage, "children": [model]})
    return {"id": job_id, "flowId": flow_id, "status": "ok", "totalLatencyMs": 5, "totalTokens": total, "spans": spans}
