"""A Dagster webserver that launches one run, which goes through given statuses."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

RUN_ID = "0a1b2c3d"
MOST_EVENTS = 1000
"""As many as Dagster gives in an answer."""
ENTRIES = [
    {"label": "status", "text": "completed"},
    {"label": "answer", "text": "The capital of France is Paris."},
    {"label": "flow_url", "url": "http://langflow.example/flow/1"},
    {"label": "input_tokens", "intValue": 38},
    {"label": "output_tokens", "intValue": 8},
    {"label": "total_tokens", "intValue": 46},
    {"label": "duration_seconds", "floatValue": 1.25},
]
DAEMON = {"daemonType": "QUEUED_RUN_COORDINATOR", "required": True, "healthy": True}


class FakeDagster:
    """What it answers, and what it was asked."""

    server: ThreadingHTTPServer

    def __init__(self) -> None:
        self.url = ""
        self.queries: list[dict[str, Any]] = []
        self.launched: dict[str, Any] = {"__typename": "LaunchRunSuccess", "run": {"runId": RUN_ID}}
        self.statuses = ["QUEUED", "STARTED", "SUCCESS"]
        self.outages: list[int] = []
        """What it answers instead when it is asked for a status: an error status, or nothing for 0."""
        self.location: Any = {"__typename": "RepositoryLocation"}
        self.reloaded: Any = {"__typename": "WorkspaceLocationEntry"}
        self.materializations: list[Any] = [{"metadataEntries": ENTRIES}]
        self.events: list[Any] = []
        self.daemons = [DAEMON]
        self.body: bytes | None = None
        """What it answers to everything, where it is no webserver of Dagster."""
        self.status = 200
        self.headers: dict[str, str] = {}
        """What it sends along."""
        self.authorizations: list[str | None] = []

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "mutation Launch" in query:
            return {"launchRun": self.launched}
        if "mutation Reload" in query:
            return {"reloadRepositoryLocation": self.reloaded}
        if "query Location" in query:
            entry = {"__typename": "WorkspaceLocationEntry", "locationOrLoadError": self.location}
            return {"workspaceLocationEntryOrError": entry}
        if "query Status" in query:
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            return {"runOrError": {"__typename": "Run", "status": status}}
        if "query Daemons" in query:
            return {"instance": {"daemonHealth": {"allDaemonStatuses": self.daemons}}}
        run: dict[str, Any] = {"status": self.statuses[-1]}
        if "query Events" in query:
            begin = int(variables["cursor"] or 0)
            end = begin + MOST_EVENTS
            page = {"events": self.events[begin:end], "cursor": str(end), "hasMore": end < len(self.events)}
            return {"runOrError": {**run, "eventConnection": page}}
        return {"runOrError": {**run, "assetMaterializations": self.materializations}}

    @property
    def config(self) -> dict[str, Any]:
        """The config of the asset in the run that was launched."""
        config: dict[str, Any] = self.queries[0]["variables"]["params"]["runConfigData"]["ops"]["langflow_run_flow"]
        return config["config"]  # type: ignore[no-any-return]


@pytest.fixture
def dagster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDagster]:
    """The webserver, to which the environment points."""
    dagster = FakeDagster()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            dagster.queries.append(asked)
            dagster.authorizations.append(self.headers["Authorization"])
            if dagster.outages and "query Status" in asked["query"]:
                self.close_connection = True
                if status := dagster.outages.pop(0):
                    self.send_error(status)
                return
            self.send_response(dagster.status)
            for name, value in dagster.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(dagster.body or json.dumps({"data": dagster.answer(**asked)}).encode())

        def log_message(self, *_: object) -> None:
            pass

    dagster.server = server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    dagster.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("DAGSTER_WEBSERVER_URL", dagster.url)
    monkeypatch.setenv("DAGSTER_PUBLIC_URL", "http://dagster.example/")
    for name in ("CELERY_BROKER_URL", "DAGMA_URL", "DAGMA_TOKEN", "DAGMA_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    yield dagster
    server.shutdown()
    server.server_close()
