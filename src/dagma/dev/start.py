"""Starting the processes, each when what it needs is there."""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests

from dagma.dev import commands
from dagma.dev.dev_settings import NotReadyError, Settings
from dagma.dev.interruption import Interruption
from dagma.dev.processes import ProcessGroups

# Seconds that a process may take until it answers. Langflow's first start also creates its database.
LLM_SECONDS = 120.0
LANGFLOW_SECONDS = 300.0
DAGSTER_SECONDS = 180.0

Run = Callable[[str, list[str], dict[str, str]], None]
"""Runs a command to its end, given its name, its words and its environment; raises where it fails."""


class Starter:
    """Starts the local LLM, Langflow and Dagster, as far as they are not to be had elsewhere."""

    def __init__(self, settings: Settings, processes: ProcessGroups, interruption: Interruption) -> None:
        self._settings = settings
        self._processes = processes
        self._interruption = interruption

    def start(self) -> str:
        """Start everything, push the flows, and return the base URL of Langflow.

        Raises:
            ChildEndedError: A process has failed.
            EndRequestedError: Someone asked to end.
            NotReadyError: A process does not answer in time.
        """
        if self._settings.starts_llm:
            self._start_llm()
        url = self._settings.langflow_url or self._start_langflow()
        self._start_dagster(url)
        return url

    def _start_llm(self) -> None:
        python = ensure_environment(self._settings, "llm", self._run)
        self._processes.start("llm", *commands.llm(self._settings, python), self._settings.state)
        self._wait_for("llm", f"http://127.0.0.1:{self._settings.llm_port}/health", LLM_SECONDS)

    def _start_langflow(self) -> str:
        python = ensure_environment(self._settings, "langflow", self._run)
        self._settings.langflow_data.mkdir(parents=True, exist_ok=True)
        self._processes.start("langflow", *commands.langflow(self._settings, python), self._settings.langflow_data)
        url = f"http://127.0.0.1:{self._settings.langflow_port}"
        self._wait_for("langflow", f"{url}/health_check", LANGFLOW_SECONDS)
        return url

    def _start_dagster(self, langflow_url: str) -> None:
        environment = commands.dagma_environment(self._settings, langflow_url)
        home = Path(environment["DAGSTER_HOME"])
        home.mkdir(parents=True, exist_ok=True)
        # SQLite beside the files, and runs as processes: dagster_home/ itself needs Postgres, Redis and workers.
        for file in (self._settings.root / "dagster_home" / "dev").glob("*.yaml"):
            shutil.copy(file, home)
        flows = ["flows", "push", "--dir", str(self._settings.root / "flows"), "--wait", "10"]
        self._run("flows-push", [sys.executable, "-m", "dagma.cli", *flows], environment)
        # Not in the repository's root: Dagster reads a .env where it is started, and that one is the containers'.
        self._processes.start("dagster", commands.dagster(self._settings), environment, home)
        self._wait_for("dagster", f"http://127.0.0.1:{self._settings.dagster_port}/server_info", DAGSTER_SECONDS)

    def _run(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        print(f"{name} ...", flush=True)
        self._processes.run(name, command, environment, self._settings.root, self._interruption.pause)

    def _wait_for(self, name: str, url: str, seconds: float) -> None:
        print(f"{name} ...", flush=True)
        started = time.monotonic()
        with requests.Session() as session:
            session.trust_env = False  # no proxy on the way to one's own machine
            while time.monotonic() - started < seconds:
                self._processes.check()
                if _answers(session, url):
                    print(f"{name} is ready after {time.monotonic() - started:.0f} s", flush=True)
                    return
                self._interruption.pause(0.5)
        raise NotReadyError(f"{name} did not answer within {seconds:.0f} s: see {self._settings.logs / name}.log")


def ensure_environment(settings: Settings, name: str, run: Run) -> Path:
    """Install the virtual environment of Langflow or of the local LLM, from its image's lock in `docker/<name>`.

    One that was made from the same lock is left as it is.

    Returns:
        Its Python.

    Raises:
        NotReadyError: uv is missing.
    """
    lock = settings.root / "docker" / name / "requirements.txt"
    folder = settings.environments / name
    python = folder / "bin" / "python"
    made_from = settings.environments / f"{name}.made-from"
    wanted = (
        f"{hashlib.sha256(lock.read_bytes()).hexdigest()} Python {sys.version_info.major}.{sys.version_info.minor}\n"
    )
    if python.exists() and made_from.is_file() and made_from.read_text() == wanted:
        return python
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise NotReadyError("uv is missing: run `make dev`, which installs it into .venv")
    settings.environments.mkdir(parents=True, exist_ok=True)
    made_from.unlink(missing_ok=True)
    # The CAs that the machine trusts, for a proxy that re-signs TLS. Bytecode halves Langflow's start.
    environment = {"UV_SYSTEM_CERTS": "true", "UV_COMPILE_BYTECODE": "1", **os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    run(f"venv-{name}", [uv, "venv", "--clear", "--python", sys.executable, str(folder)], environment)
    install = [uv, "pip", "install", "--python", str(python), "--no-deps", "--require-hashes", "-r", str(lock)]
    run(f"install-{name}", install, environment)
    made_from.write_text(wanted)
    return python


def _answers(session: requests.Session, url: str) -> bool:
    try:
        return session.get(url, timeout=5).ok
    except requests.RequestException:
        return False
