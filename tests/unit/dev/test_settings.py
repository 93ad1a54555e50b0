import base64
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dagma.dev.dev_settings import NotReadyError, Settings, check_ports, read_settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docker" / "langflow").mkdir(parents=True)
    (tmp_path / "docker" / "langflow" / "requirements.txt").touch()
    return tmp_path


def test_the_secrets_are_made_once_and_for_the_owner_only(root: Path) -> None:
    first = read_settings(root, {}).secrets
    assert read_settings(root, {}).secrets == first
    assert stat.S_IMODE((root / ".dev" / "env").stat().st_mode) == 0o600
    assert len(base64.urlsafe_b64decode(first["LANGFLOW_SECRET_KEY"])) == 32
    assert first["LANGFLOW_API_KEY"].startswith("sk-")


def test_two_instances_have_different_secrets(root: Path, tmp_path: Path) -> None:
    other = read_settings(root, {"DAGMA_DEV_DIR": str(tmp_path / "other")})
    here = read_settings(root, {})
    assert not set(other.secrets.values()) & (set(here.secrets.values()) - {"admin"})
    assert other.environments == here.environments


@pytest.mark.parametrize(
    ("environment", "ports"),
    [
        ({}, {"DAGSTER_PORT": 3000, "LANGFLOW_PORT": 7860, "LLM_PORT": 8080}),
        ({"LLM_BASE_URL": "http://elsewhere/v1"}, {"DAGSTER_PORT": 3000, "LANGFLOW_PORT": 7860}),
        ({"LANGFLOW_BASE_URL": "http://elsewhere", "LANGFLOW_API_KEY": "k"}, {"DAGSTER_PORT": 3000}),
    ],
)
def test_only_what_is_not_elsewhere_is_started(root: Path, environment: dict[str, str], ports: dict[str, int]) -> None:
    assert read_settings(root, environment).ports() == ports


def test_a_server_elsewhere_gets_no_secrets_of_ours(root: Path) -> None:
    settings = read_settings(root, {"LANGFLOW_BASE_URL": "http://elsewhere/", "LANGFLOW_API_KEY": "k"})
    assert settings.langflow_url == "http://elsewhere"
    assert settings.secrets == {"LANGFLOW_API_KEY": "k"}
    assert not (root / ".dev" / "env").exists()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DAGSTER_PORT": "http"}, "DAGSTER_PORT must be a port"),
        ({"LANGFLOW_PORT": "70000"}, "LANGFLOW_PORT must be a port"),
        ({"LANGFLOW_BASE_URL": "http://elsewhere"}, "LANGFLOW_API_KEY is not"),
    ],
)
def test_a_setting_that_can_t_be_used_is_named(root: Path, environment: dict[str, str], said: str) -> None:
    with pytest.raises(NotReadyError, match=said):
        read_settings(root, environment)


def test_a_folder_that_is_not_the_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="not Dagma's repository"):
        read_settings(tmp_path, {})


def on_ports(root: Path, dagster: int, langflow: int, llm: int) -> Settings:
    ports = {"DAGSTER_PORT": dagster, "LANGFLOW_PORT": langflow, "LLM_PORT": llm}
    return read_settings(root, {name: str(port) for name, port in ports.items()})


def test_taken_ports_are_named_with_the_variables_that_change_them(root: Path) -> None:
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        for each in (first, second, third):
            each.bind(("127.0.0.1", 0))
        for each in (first, second):
            each.listen()
        ports = [each.getsockname()[1] for each in (first, second, third)]
        third.close()
        with pytest.raises(NotReadyError) as refused:
            check_ports(on_ports(root, *ports))
        said = str(refused.value)
        assert f"port {ports[0]} is in use: set DAGSTER_PORT" in said
        assert f"port {ports[1]} is in use: set LANGFLOW_PORT" in said
        assert "LLM_PORT" not in said


def test_one_port_can_t_serve_two(root: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NotReadyError, match="must be different ports"):
        check_ports(on_ports(root, port, port, port))


def test_a_folder_that_can_t_be_written_is_one_line(root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "DAGMA_DEV_DIR": "/dev/null/mine"}
    command = [sys.executable, "-m", "dagma.dev"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "\nerror: [Errno 20] Not a directory: '/dev/null/mine'\n")
