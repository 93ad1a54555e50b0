import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from unit.cli.fake_dagster import RUN_ID, FakeDagster

from dagma.cli import ask, launching, main
from dagma.cli.celery_workers import BrokerError
from dagma.cli.launching import INTERRUPTED
from dagma.execution.webserver import Webserver

FAILURE = {
    "__typename": "ExecutionStepFailureEvent",
    "message": "failed",
    "error": {"message": "dagster.Failure: Forbidden"},
    "failureMetadata": {
        "metadataEntries": [
            {"label": "cause", "text": "The server answered 403."},
            {"label": "fix", "text": "Check the API key."},
            {"label": "flow_url", "url": "http://langflow.example/flow/1"},
        ]
    },
}


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


def test_json_holds_everything(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "Why?", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["answer"] == "The capital of France is Paris."
    assert report["run_id"] == RUN_ID
    assert report["total_tokens"] == 46


def test_a_failed_run_shows_its_cause_and_its_fix(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.statuses = ["FAILURE"]
    dagster.materializations = []
    dagster.events = [FAILURE]
    assert main(["ask", "Why?"]) == 1
    printed = capsys.readouterr().out
    assert "ended as FAILURE. The server answered 403. Check the API key." in printed
    assert f"/runs/{RUN_ID}" in printed
    assert "http://langflow.example/flow/1" in printed


OUTSIDE = {"__typename": "RunFailureEvent", "message": "The worker is lost."}
INTERRUPTED_STEP = "dagster._core.errors.DagsterExecutionInterruptedError\n"
CHAIN = {
    "message": "dagster._core.errors.DagsterExecutionStepExecutionError: Error in op",
    "errorChain": [{"error": {"message": "my.module.OutOfLuckError: no luck\n"}}],
}


@pytest.mark.parametrize(
    ("status", "event", "told"),
    [
        ("FAILURE", OUTSIDE, "The run ended as FAILURE. The worker is lost.\n"),
        (
            "FAILURE",
            {**FAILURE, "error": CHAIN, "failureMetadata": None},
            "ended as FAILURE. OutOfLuckError: no luck\n",
        ),
        (
            "CANCELED",
            {**FAILURE, "error": {"message": INTERRUPTED_STEP}, "failureMetadata": None},
            "The run was canceled.\n",
        ),
    ],
    ids=["outside its step", "without metadata", "canceled"],
)
def test_a_run_without_an_answer_shows_what_it_ended_with(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str], status: str, event: dict[str, Any], told: str
) -> None:
    dagster.statuses = [status]
    dagster.materializations = []
    dagster.events = [event]
    assert main(["ask", "Why?"]) == 1
    printed = capsys.readouterr().out
    assert told in printed
    assert status == "FAILURE" or "Error" not in printed


def test_a_skipped_call_is_no_answer(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.materializations = [{"metadataEntries": [{"label": "status", "text": "skipped"}]}]
    assert main(["ask", "Why?"]) == 1
    assert "LANGFLOW_DEFAULT_FLOW_ID" in capsys.readouterr().out


def test_a_code_location_that_does_not_load_is_the_cause(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str]
) -> None:
    dagster.launched = {"__typename": "PipelineNotFoundError", "message": "Could not find Pipeline"}
    cause = {"message": "SettingError: LANGFLOW_SCHEDULE_CRON is 'x'."}
    dagster.location = {"__typename": "PythonError", "message": "An error while loading", "causes": [cause]}
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
    assert f"The run continues: http://dagster.example/runs/{RUN_ID}" in capsys.readouterr().err


def test_no_proxy_is_asked_for_this_machine(dagster: FakeDagster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["ask", "Why?"]) == 0


def test_a_webserver_that_restarts_meanwhile_costs_no_answer(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dagster.outages = [502, 0, 503]
    assert main(["ask", "Why?"]) == 0
    assert "Paris" in capsys.readouterr().out
    monkeypatch.setattr("dagma.execution.webserver.OUTAGE_SECONDS", 0.0)
    dagster.outages = [0, 0]
    assert main(["ask", "Why?"]) == 1
    assert re.search(rf"does not answer: .*\n  run .*/runs/{RUN_ID}", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("interrupted", "said"),
    [
        ("follow", f"The run continues: http://dagster.example/runs/{RUN_ID}"),
        ("launch", "http://dagster.example/runs"),
        ("outcome", "http://dagster.example/runs"),
    ],
)
def test_ctrl_c_ends_in_a_line_and_leaves_the_run_going(
    dagster: FakeDagster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    interrupted: str,
    said: str,
) -> None:
    def interrupt(*_: object, **__: object) -> Iterator[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Webserver, interrupted, interrupt)
    assert main(["ask", "Why?"]) == INTERRUPTED
    assert said in capsys.readouterr().err


def test_tweaks_and_mode_reach_the_run(dagster: FakeDagster) -> None:
    assert main(["ask", "Why?", "--tweaks", '{"Model-1": {"temperature": 0.5}}', "--mode", "direct"]) == 0
    assert dagster.config == {"input_value": "Why?", "tweaks": {"Model-1": {"temperature": 0.5}}, "mode": "direct"}


@pytest.mark.parametrize(
    ("tweaks", "cause"),
    [
        ('{"a":', "EOF while parsing"),
        ("", "EOF while parsing"),
        ('{"a": 1}', "should be an object"),
        ("[" * 100_000, "recursion limit exceeded"),
        ('{"a": {"b": NaN}}', "not JSON compliant"),
        ('{"a": {"b": 1e999}}', "not JSON compliant"),
    ],
    ids=["half", "nothing", "flat", "deep", "no number", "too large"],
)
def test_tweaks_that_are_none_are_refused_before_anything_is_launched(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str], tweaks: str, cause: str
) -> None:
    assert main(["ask", "Why?", "--tweaks", tweaks]) == ask.USAGE
    error = capsys.readouterr().err
    assert cause in error
    assert "such as" in error
    assert dagster.queries == []


def test_a_question_comes_from_a_file(dagster: FakeDagster, tmp_path: Path) -> None:
    file = tmp_path / "my question.txt"
    file.write_bytes('\N{ZERO WIDTH NO-BREAK SPACE}Wieso?\n$HOME "so"\r\n\n'.encode())
    assert main(["ask", "--file", str(file)]) == 0
    assert dagster.config == {"input_value": 'Wieso?\n$HOME "so"'}


@pytest.mark.parametrize("arguments", [["-"], ["--file", "-"]])
def test_a_question_comes_from_standard_input(
    dagster: FakeDagster, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Why?\n")))
    assert main(["ask", *arguments]) == 0
    assert dagster.config == {"input_value": "Why?"}


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "The question is empty"),
        (b" \n\t\n", "The question is empty"),
        (b"\x89PNG\r\n", "can't be read: 'utf-8' codec can't decode byte 0x89"),
        (b"a\0b", "is not UTF-8 text"),
        (b"x" * 5_000_001, "is larger than 5,000,000 bytes"),
    ],
    ids=["empty", "blank", "binary", "NUL", "huge"],
)
@pytest.mark.parametrize("way", ["file", "standard input"])
def test_what_is_no_question_is_refused_before_anything_is_launched(
    dagster: FakeDagster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    cause: str,
    way: str,
) -> None:
    (tmp_path / "question").write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert main(["ask", *(["--file", str(tmp_path / "question")] if way == "file" else ["-"])]) == ask.USAGE
    assert cause in capsys.readouterr().err
    assert dagster.queries == []


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ([], "Give one question"),
        ([""], "The question is empty."),
        (["Why?", "--file", "x"], "Give one question"),
        (["--file", "nope.txt"], "nope.txt can't be read: [Errno 2] No such file or directory"),
        (["--file", "/"], "/ can't be read: [Errno 21] Is a directory"),
        (["--file", "a\0b"], "can't be read"),
        (["\udcff"], "not UTF-8 text"),
    ],
)
def test_a_mistyped_command_says_what_would_do(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str], arguments: list[str], cause: str
) -> None:
    assert main(["ask", *arguments]) == ask.USAGE
    assert cause in capsys.readouterr().err
    assert dagster.queries == []


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("127.0.0.1:3000", "DAGSTER_WEBSERVER_URL is '127.0.0.1:3000', which is not a URL"),
        ("http://[", "which is not a URL"),
        ("http://127.0.0.1:9", "at http://127.0.0.1:9 does not answer: Connection refused"),
        ("http://me:hidden@127.0.0.1:9", "at http://127.0.0.1:9 does not answer"),
        ("http://no-such-host.invalid", "at http://no-such-host.invalid does not answer"),
    ],
)
def test_a_wrong_address_of_the_webserver_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, cause: str
) -> None:
    monkeypatch.setenv("DAGSTER_WEBSERVER_URL", url)
    assert main(["ask", "Why?"]) == 1
    error = capsys.readouterr().err
    assert cause in error
    assert "hidden" not in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("body", [b"<html>Langflow</html>", b"[]", b'{"detail": "Method Not Allowed"}', b"null"])
def test_something_else_at_the_address_of_the_webserver_is_one_line(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    dagster.body = body
    assert main(["ask", "Why?"]) == 1
    assert "is not Dagster's webserver" in capsys.readouterr().err


def test_a_setting_that_cannot_be_read_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DAGSTER_WEBSERVER_URL", raising=False)
    monkeypatch.setenv("DAGSTER_WEBSERVER_URL_FILE", "/nope")
    assert main(["ask", "Why?"]) == 1
    assert capsys.readouterr().err.startswith("dagma: DAGSTER_WEBSERVER_URL_FILE is '/nope', which can't be read")


def test_a_reader_that_has_seen_enough_is_no_error(dagster: FakeDagster) -> None:
    program = f"{sys.executable} -m dagma.cli ask Why? --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("ask Why?", "It is \\u20ac 3.\\ufffd[2J\n"),
        ("ask Why? >&-", ""),
        ("ask - <&-", "dagma ask: Standard input can't be read"),
    ],
)
def test_a_terminal_that_takes_less_than_it_is_given_makes_no_stack_trace(
    dagster: FakeDagster, command: str, said: str
) -> None:
    answer_with(dagster, {"label": "answer", "text": "It is \u20ac 3.\x1b[2J"})
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m dagma.cli {command}"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert (done.stdout + done.stderr).decode().startswith(said)
    assert b"Traceback" not in done.stderr


def test_who_has_no_name_is_called_by_a_number(dagster: FakeDagster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", Mock(side_effect=KeyError("uid not found: 12345")))
    assert main(["ask", "Why?"]) == 0
    tags = dagster.queries[0]["variables"]["params"]["executionMetadata"]["tags"]
    assert tags == [{"key": "dagma/principal", "value": f"cli:{os.getuid()}"}]


HINTS: dict[str, tuple[str, Any, str]] = {
    "no worker": ("STARTING", 0, "no worker answers. Look at them: `make ps`, `make logs s=worker`."),
    "no worker for the queue": ("QUEUED", 0, "no worker answers."),
    "no broker": ("STARTING", BrokerError("The broker at redis:6379 can't be asked."), "broker at redis:6379"),
    "queue": ("QUEUED", 1, "it is still in Dagster's queue."),
    "busy": ("STARTING", 1, "no worker has taken it yet; all may be busy with other runs."),
    "broker unknown": ("STARTING", None, "no worker has taken it yet"),
}


@pytest.mark.parametrize("case", HINTS)
def test_a_run_that_does_not_begin_is_explained_once(
    dagster: FakeDagster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    status, workers, hint = HINTS[case]

    def find(_: str) -> Any:
        if isinstance(workers, BrokerError):
            raise workers
        return workers

    monkeypatch.setattr(launching, "HINT_SECONDS", 0.2)
    monkeypatch.setattr(launching, "count_workers", find)
    if workers is not None:
        monkeypatch.setenv("CELERY_BROKER_URL", "redis://:secret@redis:6379/0")
    dagster.statuses = [status] * 4 + ["SUCCESS"]
    assert main(["ask", "Why?"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("The capital of France is Paris.\n")
    assert printed.err.count("The run has waited for") == 1
    assert hint in printed.err


def test_a_run_that_begins_at_once_is_not_explained(
    dagster: FakeDagster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launching, "HINT_SECONDS", 0.2)
    dagster.statuses = ["QUEUED", "STARTED", "STARTED", "STARTED", "SUCCESS"]
    assert main(["ask", "Why?"]) == 0
    assert capsys.readouterr().err == ""


def answer_with(dagster: FakeDagster, *entries: dict[str, Any]) -> None:
    """Materialize these entries in place of the answer's."""
    (materialization,) = dagster.materializations
    others = [entry for entry in materialization["metadataEntries"] if entry["label"] != "answer"]
    dagster.materializations = [{"metadataEntries": [*others, *entries]}]


def test_a_table_is_printed_as_json(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    records = ['{"word": "one\\ntwo", "letters": 3}', '{"word": null, "letters": 5}']
    table = {"label": "answer", "table": {"records": records}}
    rows = {"label": "answer_rows", "intValue": 200}
    answer_with(dagster, table, rows)
    assert main(["ask", "hi"]) == 0
    printed = capsys.readouterr().out
    rows = [{"word": "one\ntwo", "letters": 3}, {"word": None, "letters": 5}]
    assert json.loads(printed[: printed.index("\n\n")]) == rows
    assert "200 in all" in printed


def test_data_is_printed_as_json(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"label": "answer", "jsonString": '{"letters": {"é": 1}}'}
    answer_with(dagster, data)
    assert main(["ask", "hi"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed[: printed.index("\n\n")]) == {"letters": {"é": 1}}
    assert "é" in printed


def test_an_answer_is_called_not_recorded_only_where_it_is_not(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str]
) -> None:
    answer_with(dagster)
    assert main(["ask", "hi"]) == 0
    assert "DAGMA_RECORD_TEXTS=none" in capsys.readouterr().out
