import json
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest
from dagster._grpc.types import ListRepositoriesResponse
from dagster._serdes import serialize_value
from dagster._utils.error import SerializableErrorInfo

from dagma.execution import health


class GraphQL:
    """Answers every query with `status` and `answer`."""

    def __init__(self) -> None:
        self.status = 200
        self.answer: Any = {"data": {"runsOrError": {"__typename": "Runs"}}}
        self.port = 0


@pytest.fixture
def webserver() -> Iterator[GraphQL]:
    graphql = GraphQL()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(graphql.status)
            self.end_headers()
            self.wfile.write(json.dumps(graphql.answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    graphql.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield graphql
    server.shutdown()
    server.server_close()


def test_a_webserver_that_reads_the_run_storage_is_healthy(webserver: GraphQL) -> None:
    assert health.check_webserver(webserver.port) == "GraphQL reads the run storage"


UNREADABLE = {"data": {"runsOrError": {"__typename": "PythonError", "message": "connection refused"}}}


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [(200, UNREADABLE, "run storage can't be read: connection refused"), (500, {}, "500")],
)
def test_a_webserver_without_its_storage_or_with_an_error_status_is_not(
    webserver: GraphQL, status: int, answer: Any, told: str
) -> None:
    webserver.status, webserver.answer = status, answer
    with pytest.raises(health.UnhealthyError, match=told):
        health.check_webserver(webserver.port)


class CodeServer:
    """A gRPC server with one answer of its own to `ListRepositories`."""

    def __init__(self) -> None:
        self.repositories = serialize_value(ListRepositoriesResponse(repository_symbols=[]))
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        handler = grpc.unary_unary_rpc_method_handler(lambda _request, _context: self.repositories.encode())
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("api.DagsterApi", {"ListRepositories": handler}),)
        )
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()


@pytest.fixture
def code_server() -> Iterator[CodeServer]:
    server = CodeServer()
    yield server
    server.server.stop(grace=None)


def test_a_code_server_that_lists_its_repositories_is_healthy(code_server: CodeServer) -> None:
    assert health.check_code(port=code_server.port) == "the code server serves its repositories"


def test_a_code_server_whose_code_does_not_load_is_not(code_server: CodeServer) -> None:
    code_server.repositories = serialize_value(SerializableErrorInfo("ImportError: no module x", [], "ImportError"))
    with pytest.raises(health.UnhealthyError, match=r"the code does not load: .*no module x"):
        health.check_code(port=code_server.port)


def heartbeats(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the daemons have written theirs so long ago, and one of them just now."""
    written = [("SENSOR", 1000.0), *((f"daemon {number}", 1000.0 - seconds) for number in range(1, health.DAEMONS))]
    monkeypatch.setattr(health.time, "time", lambda: 1000.0)
    monkeypatch.setattr(health, "query_database", lambda _: written)


def test_daemons_with_fresh_heartbeats_are_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeats(monkeypatch, seconds=100)
    assert health.check_daemon() == "8 daemons have a heartbeat"


def test_daemons_without_fresh_heartbeats_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeats(monkeypatch, seconds=300)
    with pytest.raises(health.UnhealthyError, match=r"of 8 daemons 1 have written a heartbeat lately$"):
        health.check_daemon()


def test_the_cause_is_one_line_and_the_exit_code_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise OSError("connection\nrefused")

    monkeypatch.setitem(health.CHECKS, "daemon", broken)
    assert health.main(["daemon"]) == 1
    assert capsys.readouterr().out == "unhealthy: connection refused\n"


def test_a_healthy_service_exits_with_zero(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(health.CHECKS, "daemon", lambda: "all fine")
    assert health.main(["daemon"]) == 0
    assert capsys.readouterr().out == "healthy: all fine\n"


def test_the_code_server_is_asked_at_the_address_that_it_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(health, "check_code", lambda host: asked.append(host) or "fine")
    assert health.main(["code", "--host", "user-code-control"]) == 0
    assert asked == ["user-code-control"]


@pytest.mark.parametrize(
    "arguments", [[], ["postgres"], ["code", "worker"], ["code", "--host"], ["worker", "--host", "x"]]
)
def test_an_unknown_service_is_a_mistake_of_the_caller(arguments: list[str]) -> None:
    assert health.main(arguments) == 2
