import base64
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dagma.dev.dev_settings import DevError, read_settings

# Any that are free.
PORTS = {"DAGSTER_PORT": "0", "LANGFLOW_PORT": "0", "LLM_PORT": "0"}


def test_the_secrets_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    first = read_settings(tmp_path, PORTS).secrets
    assert read_settings(tmp_path, PORTS).secrets == first
    assert stat.S_IMODE((tmp_path / ".dev" / "env").stat().st_mode) == 0o600
    assert len(base64.urlsafe_b64decode(first["LANGFLOW_SECRET_KEY"])) == 32
    assert first["LANGFLOW_API_KEY"].startswith("sk-")


def test_two_instances_have_different_secrets(tmp_path: Path) -> None:
    other = read_settings(tmp_path, {"DAGMA_DEV_DIR": str(tmp_path / "other"), **PORTS})
    here = read_settings(tmp_path, PORTS)
    assert not set(other.secrets.values()) & (set(here.secrets.values()) - {"admin"})


def test_no_secret_is_shown(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, PORTS)
    assert not [value for value in settings.secrets.values() if value != "admin" and value in repr(settings)]


@pytest.mark.parametrize(
    ("environment", "started"),
    [
        ({}, ["DAGSTER_PORT", "LANGFLOW_PORT", "LLM_PORT"]),
        ({"LLM_BASE_URL": "http://elsewhere/v1"}, ["DAGSTER_PORT", "LANGFLOW_PORT"]),
        ({"LANGFLOW_BASE_URL": "http://elsewhere", "LANGFLOW_API_KEY": "k"}, ["DAGSTER_PORT"]),
    ],
)
def test_only_what_is_not_elsewhere_is_started(tmp_path: Path, environment: dict[str, str], started: list[str]) -> None:
    assert list(read_settings(tmp_path, PORTS | environment).ports) == started


def test_a_server_elsewhere_gets_no_secrets_of_ours(tmp_path: Path) -> None:
    settings = read_settings(
        tmp_path, {"LANGFLOW_BASE_URL": "http://elsewhere/", "LANGFLOW_API_KEY": "k", "DAGSTER_PORT": "0"}
    )
    assert settings.langflow_url == "http://elsewhere"
    assert settings.secrets == {"LANGFLOW_API_KEY": "k"}
    assert not (tmp_path / ".dev" / "env").exists()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DAGSTER_PORT": "http"}, r"port http can't be used: .* Set DAGSTER_PORT to another"),
        ({"LANGFLOW_PORT": "70000"}, r"port 70000 can't be used: .* Set LANGFLOW_PORT to another"),
        ({"LANGFLOW_BASE_URL": "http://elsewhere"}, "LANGFLOW_API_KEY is not"),
    ],
)
def test_a_setting_that_can_t_be_used_is_named(tmp_path: Path, environment: dict[str, str], said: str) -> None:
    with pytest.raises(DevError, match=said):
        read_settings(tmp_path, PORTS | environment)


def test_a_taken_port_is_named_with_the_variable_that_changes_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DevError, match=rf"port {port} can't be used: .*in use.* Set LANGFLOW_PORT to another"):
            read_settings(tmp_path, PORTS | {"LANGFLOW_PORT": str(port)})


def test_a_folder_that_can_t_be_written_is_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, **PORTS, "PYTHONPATH": os.pathsep.join(sys.path), "DAGMA_DEV_DIR": "/dev/null/mine"}
    command = [sys.executable, "-m", "dagma.dev"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "\nerror: [Errno 20] Not a directory: '/dev/null/mine'\n")
