"""A stand-in for the part of Langflow's API that keeps flows and global variables."""

import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dagma.langflow import LangflowClient

FLOW_ID = "11111111-1111-4111-8111-111111111111"


class FlowStore(ThreadingHTTPServer):
    """Keeps flows as Langflow does: a PUT changes the fields that it names, and adds what the server knows."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.flows: dict[str, dict[str, Any]] = {}
        self.variables: dict[str, dict[str, Any]] = {}
        self.writes = 0
        self.refusal: str | None = None
        """Why credentials are not taken: Langflow tries a provider's key before it keeps it."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def put(self, flow_id: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.writes += 1
        for other in self.flows.values():
            if (
                other["id"] != flow_id
                and body.get("endpoint_name")
                and other.get("endpoint_name") == body["endpoint_name"]
            ):
                return 409, {"detail": "Endpoint name must be unique"}
        created = flow_id not in self.flows
        flow = self.flows.setdefault(flow_id, {"user_id": "u", "folder_id": "f", "tags": None})
        flow.update({name: value for name, value in body.items() if value is not None})
        flow.update(id=flow_id, updated_at=f"write {self.writes}")
        for node in (flow.get("data") or {}).get("nodes", []):
            for field in node["data"]["node"]["template"].values():
                if isinstance(field, dict) and isinstance(field.get("value"), list) and field.get("type") == "code":
                    field["value"] = "\n".join(field["value"])
        return 201 if created else 200, flow


class Handler(BaseHTTPRequestHandler):
    server: FlowStore

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/health_check":
            self._answer(200, {"status": "ok", "db": "ok"})
        elif path == "/api/v1/flows/":
            self._answer(200, [{**flow, "data": None} for flow in self.server.flows.values()])
        elif path == "/api/v1/variables/":
            self._answer(200, list(self.server.variables.values()))
        elif (flow := self.server.flows.get(path.rsplit("/", 1)[-1])) is not None:
            self._answer(200, flow)
        else:
            self._answer(404, {"detail": "Flow not found"})

    def do_PUT(self) -> None:
        self._answer(*self.server.put(self.path.rsplit("/", 1)[-1], self._body()))

    def do_POST(self) -> None:
        body = self._body()
        if body["type"] == "Credential" and self.server.refusal:
            self._answer(400, {"detail": self.server.refusal})
            return
        variable = {"id": str(uuid.uuid4()), **body}
        self.server.variables[body["name"]] = variable
        self._answer(201, variable)

    def do_PATCH(self) -> None:
        body = self._body()
        self.server.variables[body["name"]].update(body)
        self._answer(200, self.server.variables[body["name"]])

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["content-length"])))

    def _answer(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def store() -> Iterator[FlowStore]:
    with FlowStore() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(store: FlowStore) -> Iterator[LangflowClient]:
    with LangflowClient(store.url) as client:
        yield client


@pytest.fixture
def flow() -> dict[str, Any]:
    """A flow of two components, as Langflow's API returns it."""
    return {
        "id": FLOW_ID,
        "name": "Greeter",
        "description": None,
        "endpoint_name": "greeter",
        "is_component": False,
        "tags": None,
        "user_id": "someone",
        "folder_id": "somewhere",
        "updated_at": "2026-01-01T00:00:00+00:00",
        "version_token": "22222222-2222-4222-8222-222222222222",
        "data": {
            "viewport": {"x": 1.5, "y": 2, "zoom": 0.7},
            "nodes": [
                {
                    "id": "Model-a",
                    "type": "genericNode",
                    "position": {"x": 10.4, "y": 20.0},
                    "measured": {"width": 320, "height": 200},
                    "selected": True,
                    "data": {
                        "id": "Model-a",
                        "type": "Model",
                        "node": {
                            "lf_version": "1.13.0",
                            "outputs": [{"name": "text", "hidden": None}],
                            "template": {
                                "_type": "Component",
                                "_frontend_node_folder_id": {"value": "somewhere"},
                                "is_refresh": True,
                                "api_key": {
                                    "type": "str",
                                    "password": True,
                                    "value": "typed-here",
                                    "load_from_db": False,
                                },
                                "code": {"type": "code", "value": "one\ntwo\n"},
                                "model": {"type": "model", "value": [{"name": "m"}], "options": ["found", "now"]},
                                "model_name": {"type": "str", "value": "LLM_MODEL", "load_from_db": True},
                                "temperature": {"type": "slider", "value": 1.0},
                            },
                        },
                    },
                },
                {
                    "id": "Out-b",
                    "type": "genericNode",
                    "position": {"x": 400, "y": 20},
                    "data": {"id": "Out-b", "node": {"outputs": [], "template": {"input_value": {"value": ""}}}},
                },
            ],
            "edges": [
                {
                    "id": "edge-1",
                    "source": "Model-a",
                    "target": "Out-b",
                    "selected": False,
                    "animated": True,
                    "data": {"sourceHandle": {"name": "text"}, "targetHandle": {"fieldName": "input_value"}},
                }
            ],
        },
    }
