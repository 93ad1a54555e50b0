"""A local HTTP server in Langflow's place, and the asset run over it."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import pytest

from dagma.backends.backend import Backend
from dagma.backends.langflow.langflow_resource import langflow_from_environment
from dagma.defs.llm.assets import langflow_run_flow

FLOW_ID = "5c0ffee0-1111-4000-8000-000000000001"
ANSWER = "The capital of France is Paris."
KEY = "sk-a-secret-that-must-not-leak"
MODEL = {
    "id": "Model-1",
    "data": {
        "type": "Model",
        "node": {
            "template": {
                "temperature": {"type": "slider", "value": 0},
                "base_url": {"type": "str", "value": ""},
                "api_key": {"type": "str", "password": True, "value": ""},
            }
        },
    },
}
RUN_BODY = {
    "session_id": "session-7",
    "outputs": [
        {
            "inputs": {"input_value": "ping from dagma"},
            "outputs": [
                {
                    "component_id": "ChatOutput-1",
                    "results": {
                        "message": {
                            "text": ANSWER,
                            "properties": {
                                "usage": {"input_tokens": 38, "output_tokens": 8, "total_tokens": 46},
                                "source": {"source": "smollm2-135m", "display_name": "Chat Output"},
                            },
                        }
                    },
                }
            ],
        }
    ],
}


@dataclass(frozen=True)
class Reply:
    """What the server answers once."""

    status: int = 200
    body: bytes = json.dumps(RUN_BODY).encode()
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class LangflowServer:
    """Answers runs with the scripted replies, the last one again and again, and keeps what it was sent."""

    url: str = ""
    replies: list[Reply] = field(default_factory=lambda: [Reply()])
    runs: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def answer(self, *replies: Reply) -> None:
        self.replies = list(replies)


def handler_for(langflow: LangflowServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            langflow.runs.append(json.loads(body))
            langflow.paths.append(self.path)
            langflow.keys.append(self.headers["x-api-key"])
            self.send(langflow.replies.pop(0) if len(langflow.replies) > 1 else langflow.replies[0])

        def do_GET(self) -> None:
            flow = {"id": FLOW_ID, "name": "Assistant", "endpoint_name": "assistant", "data": {"nodes": [MODEL]}}
            self.send(Reply(body=json.dumps(flow if FLOW_ID in self.path else [flow]).encode()))

        def send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def langflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[LangflowServer]:
    """A server that answers, and an environment that points to it."""
    langflow = LangflowServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(langflow))
    langflow.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name in ("LANGFLOW_TIMEOUT_SECONDS", "LANGFLOW_VERIFY_TLS", "LANGFLOW_CA_BUNDLE", "DAGMA_RECORD_TEXTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANGFLOW_BASE_URL", langflow.url)
    monkeypatch.setenv("LANGFLOW_PUBLIC_URL", "http://langflow.example")
    monkeypatch.setenv("LANGFLOW_API_KEY", KEY)
    monkeypatch.setenv("LANGFLOW_DEFAULT_FLOW_ID", FLOW_ID)
    yield langflow
    server.shutdown()
    server.server_close()


@dataclass(frozen=True)
class AssetRun:
    """How a run of the asset ended."""

    result: dg.ExecuteInProcessResult

    @property
    def success(self) -> bool:
        return self.result.success

    @property
    def value(self) -> Any:
        return self.result.output_for_node("langflow_run_flow")

    @property
    def metadata(self) -> dict[str, Any]:
        (event,) = self.result.get_asset_materialization_events()
        return {label: entry.value for label, entry in event.materialization.metadata.items()}

    @property
    def is_materialized(self) -> bool:
        return bool(self.result.get_asset_materialization_events())

    @property
    def failure(self) -> dict[str, Any]:
        (event,) = self.result.filter_events(lambda event: event.is_step_failure)
        data = event.step_failure_data.user_failure_data
        return {"description": data.description, **{label: entry.value for label, entry in data.metadata.items()}}

    @property
    def retries(self) -> int:
        return len(self.result.filter_events(lambda event: event.is_step_up_for_retry))


def run_asset(backend: Backend | None = None, instance: dg.DagsterInstance | None = None, **config: Any) -> AssetRun:
    return AssetRun(
        dg.materialize(
            [langflow_run_flow],
            resources={"backend": backend or langflow_from_environment()},
            run_config={"ops": {"langflow_run_flow": {"config": config}}},
            raise_on_error=False,
            instance=instance,
        )
    )
