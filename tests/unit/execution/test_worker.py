import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from celery.app.trace import build_tracer

from dagma.execution import worker

HOST = "celery@worker-1"


@dataclass(frozen=True)
class Request:
    """As much of one of Celery's active requests as is used."""

    id: str
    worker_pid: int


@pytest.fixture
def run() -> Iterator[subprocess.Popen[bytes]]:
    """A process that executes a run, as far as a signal can tell."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_the_task_of_the_launcher_is_known_to_the_worker() -> None:
    assert "execute_job" in worker.app.tasks


@pytest.mark.parametrize(("backend", "is_imported"), [("langflow", True), ("mine:reply", False)])
def test_a_worker_leaves_a_backend_of_the_project_to_the_runs(
    monkeypatch: pytest.MonkeyPatch, backend: str, is_imported: bool
) -> None:
    imported: list[str] = []
    monkeypatch.setattr(worker.importlib, "import_module", imported.append)
    monkeypatch.setenv("DAGMA_BACKEND", backend)
    worker.import_definitions()
    assert ("dagma.definitions" in imported) is is_imported
    assert "dagma.project_definitions" not in imported


def test_a_stopping_worker_interrupts_what_outlasts_the_grace_period(
    run: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(worker.state, "active_requests", {Request("r", run.pid)})
    worker.drain(sender=HOST, sig="SIGTERM")
    assert run.wait(timeout=10) == -signal.SIGTERM


def test_a_run_has_a_sign_of_life_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, str]] = []
    monkeypatch.setattr(worker.signs_of_life, "give", lambda _app, task_id, host: given.append((task_id, host)))

    @worker.app.task(name="a run")
    def execute() -> list[tuple[str, str]]:
        return list(given)

    tracer = build_tracer("a run", execute, app=worker.app, eager=True)
    assert tracer("r", (), {}, {"hostname": HOST}).retval == [("r", HOST)]


def test_a_process_that_executed_a_run_obeys_sigterm_again() -> None:
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        worker.obey_sigterm(task_id="r")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
