import os
import socket
import subprocess
import sys

import pytest

from dagma.cli import doctor, main

VARIABLES = (
    "LANGFLOW_API_KEY",
    "LANGFLOW_DEFAULT_FLOW_ID",
    "LANGFLOW_TIMEOUT_SECONDS",
    "LANGFLOW_VERIFY_TLS",
    "LANGFLOW_CA_BUNDLE",
    "DAGMA_SCHEDULES_RUNNING",
    "DAGMA_RECORD_TEXTS",
    "CELERY_BROKER_URL",
)


@pytest.fixture(autouse=True)
def nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """No service answers, and nothing optional is set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANGFLOW_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DAGSTER_WEBSERVER_URL", "http://127.0.0.1:9")


def test_every_check_gets_a_line_and_one_failure_is_enough_to_fail(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].split(None, 1) for line in lines] == [
        ["ok", "settings"],
        ["FAILED", "Langflow"],
        ["FAILED", "API key"],
        ["skipped", "default flow"],
        ["FAILED", "Dagster"],
        ["skipped", "broker"],
    ]


def test_nothing_failed_is_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "checks", lambda: iter([("one", lambda: "fine")]))
    assert main(["doctor"]) == 0


def test_a_setting_that_cannot_be_used_fails_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGMA_RECORD_TEXTS", "some")
    main(["doctor"])
    assert "FAILED   settings: DAGMA_RECORD_TEXTS is 'some'. Set it to one of: full, none." in capsys.readouterr().out


def test_a_base_url_that_cannot_be_one_fails_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANGFLOW_BASE_URL", "langflow:7860")
    main(["doctor"])
    assert "FAILED   settings: LANGFLOW_BASE_URL must look like" in capsys.readouterr().out


def test_a_broker_that_listens_is_ok_and_its_password_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        monkeypatch.setenv("CELERY_BROKER_URL", f"redis://:secret@127.0.0.1:{broker.getsockname()[1]}/0")
        found = doctor.check_broker()
    assert "accepts connections" in found
    assert "secret" not in found


def test_a_broker_that_is_down_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://:secret@127.0.0.1:9/0")
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9 can't be reached") as caught:
        doctor.check_broker()
    assert "secret" not in str(caught.value)


def test_no_command_imports_dagster() -> None:
    code = "import sys; from dagma.cli import main; sys.exit('dagster' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
