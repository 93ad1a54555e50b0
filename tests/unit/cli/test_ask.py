import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dagma.cli import ask, main
from dagma.webserver import Webserver

RUN_ID = "0a1b2c3d"
ENTRIES = [
    {"label": "status", "text": "completed"},
    {"label": "answer", "text": "The capital of France is Paris."},
    {"label": "flow_url", "url": "http://langflow.example/flow/1"},
    {"label": "input_tokens", "intValue": 38},
    {"label": "output_tokens", "intValue": 8},
    {"label": "total_tokens", "intValue": 46},
    {"label": "duration_seconds", "floatValue": 1.25},
]
FAILURE = {
    "__typename": "ExecutionStepFailureEvent",
    "message": "failed",
    "error": {"message": "dagster.Failure: Forbidden"},
    "failureMetadata": {
        "metadataEntries": [
            {"label": "cause", "text": "The server answered 403."},
            {"label": "mend", "text": "Check the API key."},
        ]
    },
}


class FakeDagster:
    """A webserver that launches one run, which goes through `statuses`."""

    def __init__(self) -> None:
        self.url = ""
        self.queries: list[dict[str, Any]] = []
        self.launched: dict[str, Any] = {"__typename": "LaunchRunSuccess", "run": {"runId": RUN_ID}}
        self.statuses = ["QUEUED", "STARTED", "SUCCESS"]
        self.location: Any = {"__typename": "RepositoryLocation"}
        self.materializations: list[Any] = [{"metadataEntries": ENTRIES}]
        self.events: list[Any] = []

    def answer(self, query: str) -> dict[str, Any]:
        if "mutation Launch" in query:
            return {"launchRun": self.launched}
        if "query Location" in query:
            entry = {"__typename": "WorkspaceLocationEntry", "locationOrLoadError": self.location}
            return {"workspaceLocationEntryOrError": entry}
        if "query Status" in query:
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            return {"runOrError": {"__typename": "Run", "status": status}}
        return {
            "runOrError": {
                "status": self.statuses[-1],
                "assetMaterializations": self.materializations,
                "eventConnection": {"events": self.events},
            }
        }


@pytest.fixture
def dagster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDagster]:
    dagster = FakeDagster()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            dagster.queries.append(asked)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": dagster.answer(asked["query"])}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    dagster.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("DAGSTER_WEBSERVER_URL", dagster.url)
    monkeypatch.setenv("DAGSTER_PUBLIC_URL", "http://dagster.example/")
    yield dagster
    server.shutdown()
    server.server_close()


def test_prints_the_answer_the_run_the_flow_tokens_and_seconds(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", "What is the capital of France?"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("The capital of France is Paris.\n")
    assert f"http://dagster.example/runs/{RUN_ID}" in printed
    assert "http://langflow.example/flow/1" in printed
    assert "38 in, 8 out, 46 in all" in printed
    assert "1.2 for the call" in printed


def test_launches_the_job_of_the_asset_with_the_question_as_its_input(dagster: FakeDagster) -> None:
    main(["ask", "Why?", "--flow", "assistant", "--session", "s1"])
    params = dagster.queries[0]["variables"]["params"]
    assert params["selector"]["jobName"] == "langflow_run_flow_job"
    assert params["runConfigData"] == {
        "ops": {"langflow_run_flow": {"config": {"input_value": "Why?", "flow_id": "assistant", "session_id": "s1"}}}
    }


def test_names_only_what_was_given(dagster: FakeDagster) -> None:
    main(["ask", "Why?"])
    config = dagster.queries[0]["variables"]["params"]["runConfigData"]["ops"]["langflow_run_flow"]["config"]
    assert config == {"input_value": "Why?"}


def test_json_holds_everything(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "Why?", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["answer"] == "The capital of France is Paris."
    assert report["run_id"] == RUN_ID
    assert report["total_tokens"] == 46


def test_a_failed_run_shows_its_cause_and_its_mend(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.statuses = ["FAILURE"]
    dagster.materializations = []
    dagster.events = [FAILURE]
    assert main(["ask", "Why?"]) == 1
    printed = capsys.readouterr().out
    assert "ended as FAILURE. The server answered 403. Check the API key." in printed
    assert f"/runs/{RUN_ID}" in printed


def test_a_run_that_failed_outside_its_step_shows_why(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.statuses = ["FAILURE"]
    dagster.materializations = []
    dagster.events = [{"__typename": "RunFailureEvent", "message": "The worker is lost."}]
    assert main(["ask", "Why?"]) == 1
    assert "The worker is lost." in capsys.readouterr().out


def test_a_skipped_call_is_no_answer(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.materializations = [{"metadataEntries": [{"label": "status", "text": "skipped"}]}]
    assert main(["ask", "Why?"]) == 1
    assert "LANGFLOW_DEFAULT_FLOW_ID" in capsys.readouterr().out


def test_a_code_location_that_does_not_load_is_the_cause(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str]
) -> None:
    dagster.launched = {"__typename": "PipelineNotFoundError", "message": "Could not find Pipeline"}
    dagster.location = {"__typename": "PythonError", "message": "SettingError: LANGFLOW_SCHEDULE_CRON is 'x'."}
    assert main(["ask", "Why?"]) == 1
    assert "does not load: SettingError: LANGFLOW_SCHEDULE_CRON is 'x'." in capsys.readouterr().err


def test_a_refused_launch_says_why(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.launched = {"__typename": "RunConfigValidationInvalid", "errors": [{"message": "Received unexpected"}]}
    assert main(["ask", "Why?"]) == 1
    assert "Received unexpected" in capsys.readouterr().err


def test_a_webserver_that_is_down_says_how_to_start_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGSTER_WEBSERVER_URL", "http://127.0.0.1:9")
    assert main(["ask", "Why?"]) == 1
    assert "make up" in capsys.readouterr().err


def test_waiting_ends_and_the_run_goes_on(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.statuses = ["STARTED"]
    assert main(["ask", "Why?", "--wait", "0.1"]) == 1
    assert f"The run goes on: http://dagster.example/runs/{RUN_ID}" in capsys.readouterr().err


def test_ctrl_c_leaves_the_run_going_and_says_so(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> Iterator[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Webserver, "follow", interrupt)
    assert main(["ask", "Why?"]) == ask.INTERRUPTED
    assert f"The run goes on: http://dagster.example/runs/{RUN_ID}" in capsys.readouterr().err
