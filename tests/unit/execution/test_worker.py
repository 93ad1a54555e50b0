import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from dagma.execution import health, worker
from dagma.execution.worker_roll_call import RollCall, TaskState

HOST = "celery@worker-1"
FAILURE = dg.DagsterRunStatus.FAILURE


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


@pytest.fixture
def instance(dagster_home: str) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=dagster_home) as instance:
        yield instance


def starting_run(instance: dg.DagsterInstance) -> str:
    return instance.add_run(dg.DagsterRun(job_name="job", status=dg.DagsterRunStatus.STARTING)).run_id


def status_after_a_restart(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, run_id: str, task: TaskState
) -> dg.DagsterRunStatus:
    """Start worker `HOST` anew, with a run whose task is in this state."""
    monkeypatch.setattr(RollCall, "state_of", lambda _self, _task_id: task)
    worker._report_abandoned(HOST)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_worker_that_was_killed_fails_the_run_that_it_was_starting(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = starting_run(instance)
    assert status_after_a_restart(instance, monkeypatch, run_id, TaskState("STARTED", HOST)) is FAILURE
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.tags["dagster/failure_reason"] == "UNEXPECTED_TERMINATION", "Dagster retries what failed so"


@pytest.mark.parametrize("task", [TaskState("STARTED", "celery@worker-2"), TaskState("PENDING")], ids=["other", "none"])
def test_a_worker_leaves_the_runs_of_others_alone(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, task: TaskState
) -> None:
    run_id = starting_run(instance)
    assert status_after_a_restart(instance, monkeypatch, run_id, task) is dg.DagsterRunStatus.STARTING


@pytest.mark.parametrize("book", ["reserved_requests", "active_requests"])
def test_a_worker_leaves_a_run_alone_that_it_has_taken_since(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, book: str
) -> None:
    run_id = starting_run(instance)
    monkeypatch.setattr(worker.state, book, {Request(run_id, 0)})
    task = TaskState("STARTED", HOST)
    assert status_after_a_restart(instance, monkeypatch, run_id, task) is dg.DagsterRunStatus.STARTING


def test_a_run_that_has_started_meanwhile_is_left_alone(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = starting_run(instance)

    def started(_self: RollCall, _task_id: str) -> TaskState:
        instance.report_engine_event("started", instance.get_run_by_id(run_id))
        instance.run_storage.handle_run_event(run_id, dg.DagsterEvent("PIPELINE_START", "job"))
        return TaskState("STARTED", HOST)

    monkeypatch.setattr(RollCall, "state_of", started)
    worker._report_abandoned(HOST)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.STARTED


def test_a_database_that_is_away_does_not_keep_a_worker_from_starting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> dg.DagsterInstance:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(dg.DagsterInstance, "get", away)
    worker._report_abandoned(HOST)
    assert "Could not look for runs that were abandoned" in caplog.text
