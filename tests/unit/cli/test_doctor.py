import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple
from unittest.mock import MagicMock

import pytest
from unit.cli.fake_dagster import DAEMON, FakeDagster

from dagma import flows
from dagma.cli import main
from dagma.cli.doctor import checks_of_dagster, checks_of_data, checks_of_langflow, command
from dagma.cli.doctor.check import Check, Problem, Skipped, run_checks
from dagma.langflow import Flow
from dagma.ledger.database import Database
from dagma.retention.langflow_history import CALL_SESSION
from dagma.testing import ComponentFailed, FakeAnswer, FakeCall, FakeLangflow, Fault
from dagma.testing.fixtures import fake_langflow

__all__ = ["fake_langflow"]

CLEARED = (
    *("LANGFLOW_API_KEY", "LANGFLOW_DEFAULT_FLOW_ID", "LANGFLOW_TIMEOUT_SECONDS", "LANGFLOW_VERIFY_TLS"),
    *("LANGFLOW_CA_BUNDLE", "LANGFLOW_MODE", "LANGFLOW_JOB_TIMEOUT_SECONDS", "DAGMA_SCHEDULES_RUNNING"),
    *("DAGMA_RECORD_TEXTS", "DAGMA_TIMEZONE", "LANGFLOW_SCHEDULE_CRON", "DAGMA_QUOTAS", "DAGMA_PRICES"),
    *("DAGMA_LEDGER_TEXTS", "DAGMA_BACKEND"),
    *("DAGMA_STORAGE_DIR", "CELERY_BROKER_URL", "DAGSTER_PG_HOST"),
)
ASSISTANT = {
    "id": flows.ASSISTANT,
    "endpoint_name": "assistant",
    "data": {
        "nodes": [
            {"id": "In-1", "data": {"type": "ChatInput", "node": {"template": {"should_store_message": {}}}}},
            {"id": "Model-1", "data": {"type": "LanguageModelComponent", "node": {"template": {"max_tokens": {}}}}},
            {"id": "Out-1", "data": {"type": "ChatOutput", "node": {"template": {"should_store_message": {}}}}},
        ],
        "edges": [{"source": "In-1", "target": "Model-1"}, {"source": "Model-1", "target": "Out-1"}],
    },
}


class Printed(NamedTuple):
    """What the doctor said."""

    exit_code: int
    verdicts: dict[str, str]
    said: dict[str, str]


Doctor = Callable[..., Printed]


@pytest.fixture(autouse=True)
def nothing_there(monkeypatch: pytest.MonkeyPatch, ledger_url: str, tmp_path: Path) -> None:
    """No service answers, nothing optional is set, and the ledger is empty."""
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANGFLOW_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DAGSTER_WEBSERVER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DAGMA_LEDGER_URL", ledger_url)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Run the command, and read its lines."""

    def run(*arguments: str) -> Printed:
        exit_code = main(["doctor", *arguments])
        verdicts, said = {}, {}
        for line in capsys.readouterr().out.splitlines():
            name, what = line[9:].split(": ", 1)
            verdicts[name], said[name] = line[:9].strip(), what
        return Printed(exit_code, verdicts, said)

    return run


@pytest.fixture
def langflow(fake_langflow: FakeLangflow, monkeypatch: pytest.MonkeyPatch) -> FakeLangflow:
    """A Langflow with the flow `assistant`, to which the environment points."""
    monkeypatch.setenv("LANGFLOW_BASE_URL", fake_langflow.base_url)
    monkeypatch.setenv("LANGFLOW_API_KEY", fake_langflow.api_key)
    fake_langflow.add_flow("Assistant", lambda _: FakeAnswer("Hi", model="tiny", output_tokens=1), flow=ASSISTANT)
    return fake_langflow


def test_a_stack_that_works_is_ok_in_every_line(
    doctor: Doctor, langflow: FakeLangflow, dagster: FakeDagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFLOW_DEFAULT_FLOW_ID", "assistant")
    printed = doctor()
    skipped = {"workers"}
    assert {name for name, verdict in printed.verdicts.items() if verdict == "ok"} == {
        check.name for check in command.CHECKS if check.name not in skipped
    }
    assert "FAILED" not in printed.verdicts.values()
    assert printed.exit_code == 0
    assert "asked for one token, tiny answered" in printed.said["LLM"]


def test_with_nothing_there_each_cause_stands_once_and_the_exit_code_is_1(doctor: Doctor) -> None:
    printed = doctor()
    assert printed.exit_code == 1
    assert printed.verdicts == {
        "settings": "ok",
        "Langflow": "FAILED",
        "API key": "skipped",
        "default flow": "skipped",
        "LLM": "skipped",
        "Dagster": "FAILED",
        "daemons": "skipped",
        "workers": "skipped",
        "ledger": "ok",
        "disk": "ok",
    }
    assert printed.said["API key"] == "Langflow has to work first."


def test_the_llm_is_asked_for_one_token_that_no_message_and_no_ledger_keeps(
    doctor: Doctor, langflow: FakeLangflow, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[FakeCall] = []
    langflow.behave(ASSISTANT["id"], lambda call: calls.append(call) or "Hi")  # type: ignore[func-returns-value]
    assert doctor().verdicts["LLM"] == "ok"
    (call,) = calls
    quiet = {"should_store_message": False}
    assert call.tweaks == {"In-1": quiet, "Model-1": {"max_tokens": 1}, "Out-1": quiet}
    assert CALL_SESSION.fullmatch(call.session_id)  # pruned with the traces of calls
    assert main(["ledger", "export"]) == 0
    assert capsys.readouterr().out == ""


def test_a_dead_llm_fails_with_the_variable_to_set(doctor: Doctor, langflow: FakeLangflow) -> None:
    def fail(_: FakeCall) -> str:
        raise ComponentFailed("Language Model", "Connection error.")

    langflow.behave(ASSISTANT["id"], fail)
    printed = doctor()
    assert printed.verdicts["LLM"] == "FAILED"
    assert "LLM_BASE_URL in .env" in printed.said["LLM"]
    assert printed.exit_code == 1


def test_an_llm_that_is_silent_fails_in_bounded_time(
    doctor: Doctor, langflow: FakeLangflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_of_langflow, "LLM_SECONDS", 1.0)
    langflow.script(Fault(path="/api/v1/run", delay=30.0))
    started = time.monotonic()
    printed = doctor()
    assert time.monotonic() - started < 15
    assert "gave no token within 1 s" in printed.said["LLM"]


def test_the_llm_is_left_alone_where_that_is_asked(doctor: Doctor, langflow: FakeLangflow) -> None:
    assert "LLM" not in doctor("--no-llm").verdicts
    assert not [request for request in langflow.requests if "/run/" in request.path]


def test_a_flow_without_a_model_is_not_run() -> None:
    nodes = [{"id": "In-1", "data": {"node": {"template": {"should_store_message": {}}}}}]
    with pytest.raises(Skipped, match="has no model"):
        checks_of_langflow.one_token(Flow.of({"id": "x", "name": "x", "data": {"nodes": nodes}}))


def test_the_shipped_assistant_can_be_asked_for_one_token() -> None:
    file = Path(__file__).parents[3] / "flows" / "assistant.json"
    flow = json.loads(file.read_text())
    assert flow["id"] == flows.ASSISTANT
    tweaks = checks_of_langflow.one_token(Flow.of(flow))
    assert tweaks["LanguageModel-assistant"] == {"max_tokens": 1}
    assert tweaks["ChatInput-assistant"] == tweaks["ChatOutput-assistant"] == {"should_store_message": False}


def test_another_backend_has_no_llm_of_langflow(
    doctor: Doctor, langflow: FakeLangflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_BACKEND", "my.module:answer")
    assert "DAGMA_BACKEND is my.module:answer" in doctor().said["LLM"]


def test_all_settings_that_cannot_be_used_are_told_at_once(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_QUOTAS", "calls=many")
    monkeypatch.setenv("DAGMA_TIMEZONE", "Berlin")
    printed = doctor()
    assert printed.verdicts["settings"] == "FAILED"
    assert "Quota 'calls=many' can't be read" in printed.said["settings"]
    assert "DAGMA_TIMEZONE is 'Berlin'" in printed.said["settings"]


def test_a_default_flow_that_is_not_there_is_named(
    doctor: Doctor, langflow: FakeLangflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFLOW_DEFAULT_FLOW_ID", "asistant")
    said = doctor().said["default flow"]
    assert "no flow with the endpoint name 'asistant'" in said
    assert "make flows-push" in said


def test_a_default_flow_is_found_as_calls_find_it(
    doctor: Doctor, langflow: FakeLangflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFLOW_DEFAULT_FLOW_ID", ASSISTANT["id"].upper())
    assert f"Langflow has Assistant ({ASSISTANT['id']})" in doctor().said["default flow"]


def test_a_daemon_without_a_heartbeat_fails(doctor: Doctor, dagster: FakeDagster) -> None:
    dagster.daemons = [{**DAEMON, "healthy": False}]
    printed = doctor()
    assert printed.verdicts["daemons"] == "FAILED"
    assert "QUEUED_RUN_COORDINATOR" in printed.said["daemons"]
    assert "make logs s=dagster-daemon" in printed.said["daemons"]


def test_a_code_location_that_does_not_load_fails_with_its_cause(doctor: Doctor, dagster: FakeDagster) -> None:
    dagster.location = {
        "__typename": "PythonError",
        "message": "SettingError: LANGFLOW_SCHEDULE_CRON is 'x'.",
        "causes": [],
    }
    assert "LANGFLOW_SCHEDULE_CRON is 'x'" in doctor().said["Dagster"]


def test_a_worker_has_to_answer(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://some:where@broker")
    for count, said in ((0, "No worker answered within 2 s: runs wait."), (1, "1 answered over the broker")):
        monkeypatch.setattr(checks_of_dagster, "count_workers", lambda _, count=count: count)
        printed = doctor()
        assert printed.verdicts["workers"] == ("ok" if count else "FAILED")
        assert said in printed.said["workers"]


def test_a_locked_ledger_does_not_hang_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = MagicMock()
    monkeypatch.setenv("DAGMA_LEDGER_URL", "postgresql://127.0.0.1:9/dagma")
    monkeypatch.setattr(Database, "read", lambda _: nullcontext(connection))
    checks_of_data.check_ledger()
    timeout, query = [str(call.args[0]) for call in connection.execute.call_args_list]
    assert timeout == "SET LOCAL statement_timeout = '10s'"
    assert query.startswith("SELECT")


@pytest.mark.parametrize(
    ("check", "variable", "url", "told"),
    [
        ("workers", "CELERY_BROKER_URL", "redis://:hidden-password@127.0.0.1:9/0", "127.0.0.1:9 can't be asked"),
        (
            "ledger",
            "DAGMA_LEDGER_URL",
            "postgresql://dagma:hidden-password@127.0.0.1:9/x",
            "postgresql://127.0.0.1:9/x",
        ),
    ],
)
def test_a_server_that_is_down_fails_without_its_password(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, check: str, variable: str, url: str, told: str
) -> None:
    monkeypatch.setenv(variable, url)
    printed = doctor()
    assert printed.verdicts[check] == "FAILED"
    assert told in printed.said[check]
    assert "hidden-password" not in printed.said[check]


def test_a_disk_that_is_nearly_full_fails(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_of_data, "LEAST_FREE_GIB", 1e9)
    printed = doctor()
    assert printed.verdicts["disk"] == "FAILED"
    assert "docker system df" in printed.said["disk"]


@pytest.mark.parametrize(
    ("error", "said"),
    [(Problem("It is full. Empty it."), "It is full. Empty it."), (ZeroDivisionError("oh"), "ZeroDivisionError: oh")],
)
def test_whatever_a_check_raises_is_a_line(error: Exception, said: str) -> None:
    def fail() -> str:
        raise error

    checks = [Check("one", fail), Check("two", lambda: "", needs="one"), Check("three", lambda: "fine")]
    assert [(verdict, text) for _, verdict, text in run_checks(checks)] == [
        ("FAILED", said),
        ("skipped", "one has to work first."),
        ("ok", "fine"),
    ]
