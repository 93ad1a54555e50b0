"""Flows, projects and variables of a fake Langflow, and their endpoints."""

import threading
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from dagma.langflow.flow import uuid_or_none
from dagma.testing import shapes
from dagma.testing.behaviour import Behaviour, echo
from dagma.testing.http_server import FakeResponse, RecordedRequest

DEFAULT_PROJECT = "Starter Project"


class FakeStore:
    """Flows with what they do, projects and variables, in memory."""

    def __init__(self) -> None:
        self._flows: dict[str, dict[str, Any]] = {}
        self._behaviours: dict[str, Behaviour] = {}
        self._variables: dict[str, dict[str, Any]] = {}
        self._projects = {DEFAULT_PROJECT: str(uuid4())}
        self._lock = threading.Lock()

    def put_flow(self, flow: dict[str, Any], saved_at: datetime | None = None) -> dict[str, Any] | str:
        """Keep a flow, and return it as kept, or why it can't be kept; what the flow leaves out stays as it was."""
        with self._lock:
            others = [other for other in self._flows.values() if other["id"] != flow["id"]]
            endpoint_name = flow.get("endpoint_name")
            if endpoint_name and endpoint_name in [other["endpoint_name"] for other in others]:
                return "Endpoint name must be unique"
            known = self._flows.get(flow["id"], {})
            stored = {
                "data": None,
                "folder_id": self._projects[DEFAULT_PROJECT],
                **known,
                **{field: value for field, value in flow.items() if value is not None},
                # Null clears the endpoint name, and leaves other fields as they were.
                "endpoint_name": flow.get("endpoint_name", known.get("endpoint_name")),
                "updated_at": (saved_at or datetime.now(UTC)).replace(microsecond=0).isoformat(),
                "version_token": str(uuid4()),
            }
            self._flows[flow["id"]] = stored
            return stored

    def project_id(self, name: str) -> str:
        """Return the id of a project, which is created where there is none of this name."""
        with self._lock:
            return self._projects.setdefault(name, str(uuid4()))

    def behave(self, flow_id: str, behaviour: Behaviour) -> None:
        """Set what a flow does."""
        with self._lock:
            self._behaviours[flow_id] = behaviour

    def behaviour(self, flow_id: str) -> Behaviour:
        """Return what a flow does."""
        with self._lock:
            return self._behaviours.get(flow_id, echo)

    def find_flow(self, name: str) -> dict[str, Any] | None:
        """Return a flow by its id or endpoint name."""
        with self._lock:
            for flow in self._flows.values():
                if name in (flow["id"], flow["endpoint_name"]):
                    return flow
            return None

    def answer(self, kind: str, request: RecordedRequest, rest: list[str]) -> FakeResponse:
        """Answer a request to /api/v1/flows, /api/v1/projects or /api/v1/variables."""
        if kind == "projects":
            with self._lock:
                return FakeResponse(200, [{"id": each, "name": name} for name, each in self._projects.items()])
        return self._answer_flows(request, rest) if kind == "flows" else self._answer_variables(request, rest)

    def _answer_flows(self, request: RecordedRequest, rest: list[str]) -> FakeResponse:
        if not rest:
            with self._lock:
                flows = list(self._flows.values())
            return FakeResponse(200, [{**flow, "data": None} for flow in flows])
        flow_id = str(uuid_or_none(rest[0]))
        if request.method == "PUT":
            return self._put(flow_id, request.json())
        with self._lock:
            flow = self._flows.get(flow_id)
            if flow is not None and request.method == "DELETE":
                del self._flows[flow_id]
                return FakeResponse(204)
        return FakeResponse(404, {"detail": "Flow not found"}) if flow is None else FakeResponse(200, flow)

    def _answer_variables(self, request: RecordedRequest, rest: list[str]) -> FakeResponse:
        body = request.json() if request.body else {}
        with self._lock:
            if request.method == "GET":
                return FakeResponse(200, list(self._variables.values()))
            if request.method == "POST":
                if any(variable["name"] == body["name"] for variable in self._variables.values()):
                    return FakeResponse(400, {"detail": "Variable name already exists"})
                kind = body.get("type") or "Credential"
                value = body["value"] if kind == "Generic" else None
                variable = {"id": str(uuid4()), "name": body["name"], "type": kind, "value": value}
                self._variables[variable["id"]] = variable
                return FakeResponse(201, variable)
            found = self._variables.get(rest[0]) if rest else None
            if found is None:
                return FakeResponse(404, {"detail": "Variable not found"})
            if request.method == "DELETE":
                del self._variables[found["id"]]
                return FakeResponse(204)
            if found["type"] == "Generic":
                found["value"] = body["value"]
            return FakeResponse(200, found)

    def _put(self, flow_id: str, flow: Any) -> FakeResponse:
        if not isinstance(flow, dict) or not isinstance(flow.get("name"), str):
            return FakeResponse(422, shapes.unprocessable(["body", "name"], "Field required"))
        with self._lock:
            known = flow_id in self._flows
        stored = self.put_flow({**flow, "id": flow_id})
        if isinstance(stored, str):
            return FakeResponse(409, {"detail": stored})
        return FakeResponse(200 if known else 201, stored)
