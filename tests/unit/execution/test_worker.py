import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dagma.execution import health, worker
from dagma.execution.worker_roll_call import RollCall

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


def test_the_health_check_is_told_when_a_worker_has_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (worker, health):
        monkeypatch.setattr(module, "READY_FILE", tmp_path / "ready")
    monkeypatch.setattr(health, "query_database", lambda _: pytest.fail("a worker that has not started is asked"))
    with pytest.raises(health.UnhealthyError, match="has not started yet"):
        health.check_worker()
    worker.mark_ready(sender=None)
    assert (tmp_path / "ready").exists()


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


def test_a_stopping_worker_announces_itself_and_interrupts_what_outlasts_the_grace_period(
    run: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[tuple[str, float, bool]] = []
    monkeypatch.setattr(
        RollCall,
        "mark_draining",
        lambda _self, hostname, seconds: announced.append((hostname, seconds, run.poll() is None)),
    )
    monkeypatch.setattr(worker, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(worker.state, "active_requests", {Request("r", run.pid)})
    worker.drain(HOST, sig="SIGTERM")
    assert run.wait(timeout=10) == -signal.SIGTERM
    assert announced == [(HOST, 0.1 + worker.CLEAN_UP_SECONDS, True)]


def test_a_result_backend_that_is_away_does_not_keep_a_worker_from_stopping(
    run: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(RollCall, "mark_draining", away)
    monkeypatch.setattr(worker, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(worker.state, "active_requests", {Request("r", run.pid)})
    worker.drain(HOST)
    assert run.wait(timeout=10) == -signal.SIGTERM


def test_a_process_that_executed_a_run_obeys_sigterm_again() -> None:
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        worker.obey_sigterm(task_id="r")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
