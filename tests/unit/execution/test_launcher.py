import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.launcher import WorkerStatus
from dagster._core.test_utils import create_run_for_test
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_TASK_ID_TAG
from redis.exceptions import ConnectionError as RedisConnectionError

from dagma.execution.celery_settings import CELERY_SETTINGS
from dagma.execution.launcher import CeleryRunLauncher
from dagma.execution.signs_of_life import LIFE_SECONDS


class FakeCelery:
    """A result backend and a broker, scripted; `away` stands for both where they can't be reached."""

    def __init__(self) -> None:
        self.state = "STARTED"
        self.is_alive = True
        self.away = False
        self.calls: list[str] = []
        self.backend = SimpleNamespace(
            get_task_meta=self.get_task_meta,
            client=SimpleNamespace(exists=lambda key: self._answer(f"sign {key}", self.is_alive)),
        )
        self.control = SimpleNamespace(revoke=self.revoke)

    def get_task_meta(self, task_id: str, *, cache: bool) -> dict[str, str]:
        # Cached, a task that was seen once would be STARTED for ever.
        assert cache is False
        return {"status": self._answer(f"state {task_id}", self.state)}

    def revoke(self, task_id: str, *, terminate: bool, signal: str) -> None:
        assert (terminate, signal) == (True, "SIGTERM")
        self._answer(f"interrupt {task_id}", None)

    def _answer(self, call: str, answer: Any) -> Any:
        self.calls.append(call)
        if self.away:
            raise RedisConnectionError("connection refused")
        return answer


@pytest.fixture
def celery() -> FakeCelery:
    return FakeCelery()


@pytest.fixture
def instance(celery: FakeCelery, dagster_home: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://127.0.0.1:1/1")
    launcher = {"module": "dagma.execution.launcher", "class": "CeleryRunLauncher"}
    with dg.instance_for_test(temp_dir=dagster_home, overrides={"run_launcher": launcher}) as instance:
        yield instance


@pytest.fixture
def launcher(instance: DagsterInstance, celery: FakeCelery) -> CeleryRunLauncher:
    launcher = launcher_of(instance)
    launcher.celery = celery  # type: ignore[assignment]  # the one seam to the network
    return launcher


def launcher_of(instance: DagsterInstance) -> CeleryRunLauncher:
    launcher = instance.run_launcher
    assert isinstance(launcher, CeleryRunLauncher)
    return launcher


def run_in(instance: DagsterInstance, status: DagsterRunStatus, tags: dict[str, str] | None = None) -> DagsterRun:
    return create_run_for_test(instance, status=status, tags=tags)


def status_of(instance: DagsterInstance, run: DagsterRun) -> DagsterRunStatus:
    reloaded = instance.get_run_by_id(run.run_id)
    assert reloaded is not None
    return reloaded.status


def messages(instance: DagsterInstance, run: DagsterRun) -> str:
    return " ".join(event.message for event in instance.all_logs(run.run_id))


def test_the_launcher_uses_the_settings_of_the_workers(instance: DagsterInstance) -> None:
    conf = launcher_of(instance).celery.conf
    for name, value in CELERY_SETTINGS.items():
        assert conf[name] == value, name


def test_a_running_run_is_interrupted_and_reports_its_own_end(
    instance: DagsterInstance, launcher: CeleryRunLauncher, celery: FakeCelery
) -> None:
    run = run_in(instance, DagsterRunStatus.STARTED)
    assert launcher.terminate(run.run_id) is True
    # The interrupted run finds itself CANCELING, which is what makes it end as CANCELED.
    assert status_of(instance, run) is DagsterRunStatus.CANCELING
    assert celery.calls[-2:] == [f"sign dagma-alive-{run.run_id}", f"interrupt {run.run_id}"]


@pytest.mark.parametrize(
    ("state", "is_alive"), [("FAILURE", True), ("REVOKED", True), ("SUCCESS", True), ("STARTED", False)]
)
def test_a_run_that_no_worker_has_is_canceled_at_once(
    instance: DagsterInstance, launcher: CeleryRunLauncher, celery: FakeCelery, state: str, is_alive: bool
) -> None:
    celery.state, celery.is_alive = state, is_alive
    run = run_in(instance, DagsterRunStatus.STARTED)
    assert launcher.terminate(run.run_id) is True
    assert status_of(instance, run) is DagsterRunStatus.CANCELED


def test_a_run_that_waits_in_the_broker_is_canceled_at_once(
    instance: DagsterInstance, launcher: CeleryRunLauncher, celery: FakeCelery
) -> None:
    celery.state = "PENDING"
    run = run_in(instance, DagsterRunStatus.STARTING)
    assert launcher.terminate(run.run_id) is True
    assert celery.calls[-2:] == [f"interrupt {run.run_id}", f"state {run.run_id}"]
    assert status_of(instance, run) is DagsterRunStatus.CANCELED


def test_a_run_that_a_worker_is_just_starting_is_left_to_the_interrupt(
    instance: DagsterInstance, launcher: CeleryRunLauncher
) -> None:
    run = run_in(instance, DagsterRunStatus.STARTING)
    assert launcher.terminate(run.run_id) is True
    assert status_of(instance, run) is DagsterRunStatus.CANCELING


def test_a_cancel_without_a_broker_says_so(
    instance: DagsterInstance, launcher: CeleryRunLauncher, celery: FakeCelery
) -> None:
    celery.away = True
    run = run_in(instance, DagsterRunStatus.STARTED)
    assert launcher.terminate(run.run_id) is True
    assert status_of(instance, run) is DagsterRunStatus.CANCELING
    assert "No worker is told of the cancel: connection refused" in messages(instance, run)


def test_a_run_that_has_ended_is_not_canceled(
    instance: DagsterInstance, launcher: CeleryRunLauncher, celery: FakeCelery
) -> None:
    run = run_in(instance, DagsterRunStatus.SUCCESS)
    assert launcher.terminate(run.run_id) is False
    assert launcher.terminate("no such run") is False
    assert status_of(instance, run) is DagsterRunStatus.SUCCESS
    assert celery.calls == []


@pytest.mark.parametrize(("is_alive", "status"), [(True, WorkerStatus.RUNNING), (False, WorkerStatus.FAILED)])
def test_a_worker_is_failed_when_its_run_has_no_sign_of_life(
    instance: DagsterInstance,
    launcher: CeleryRunLauncher,
    celery: FakeCelery,
    is_alive: bool,
    status: WorkerStatus,
) -> None:
    celery.is_alive = is_alive
    run = run_in(instance, DagsterRunStatus.STARTED)
    assert launcher.check_run_worker_health(run).status is status


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED"])
def test_a_task_that_ended_without_its_run_is_a_failed_worker(
    instance: DagsterInstance, launcher: CeleryRunLauncher, celery: FakeCelery, state: str
) -> None:
    celery.state = state
    health = launcher.check_run_worker_health(run_in(instance, DagsterRunStatus.STARTED))
    assert health.status is WorkerStatus.FAILED
    assert state in str(health.msg)


def test_a_result_backend_that_is_away_fails_no_run_and_leaves_workers_time_when_it_is_back(
    instance: DagsterInstance, launcher: CeleryRunLauncher, celery: FakeCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    celery.away = True
    run = run_in(instance, DagsterRunStatus.STARTED)
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    celery.away, celery.is_alive = False, False
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    now = time.monotonic() + LIFE_SECONDS
    monkeypatch.setattr("dagma.execution.launcher.time.monotonic", lambda: now)
    assert launcher.check_run_worker_health(run).status is WorkerStatus.FAILED


def test_a_task_id_other_than_the_runs_is_taken_from_its_tag(
    instance: DagsterInstance, launcher: CeleryRunLauncher, celery: FakeCelery
) -> None:
    run = run_in(instance, DagsterRunStatus.STARTED, tags={DAGSTER_CELERY_TASK_ID_TAG: "another"})
    launcher.check_run_worker_health(run)
    assert celery.calls == ["state another", "sign dagma-alive-another"]


def test_a_queue_that_no_worker_serves_is_ignored(instance: DagsterInstance) -> None:
    run = run_in(instance, DagsterRunStatus.STARTING, tags={DAGSTER_CELERY_QUEUE_TAG: "nosuch"})
    sent: list[dict[str, Any]] = []
    signature = SimpleNamespace(apply_async=lambda **options: sent.append(options))
    launcher_of(instance)._launch_celery_task_run(run, signature, "execute_job")  # type: ignore[arg-type]
    assert [(task["queue"], task["routing_key"]) for task in sent] == [("dagster", "dagster.execute_job")]


def test_a_run_is_tagged_with_its_task_before_the_task_is_sent(instance: DagsterInstance) -> None:
    run = run_in(instance, DagsterRunStatus.STARTING)
    tags_when_sent: list[str | None] = []

    def apply_async(**sent: Any) -> None:
        assert sent["task_id"] == run.run_id
        assert sent["queue"] == "dagster"
        reloaded = instance.get_run_by_id(run.run_id)
        assert reloaded is not None
        tags_when_sent.append(reloaded.tags.get(DAGSTER_CELERY_TASK_ID_TAG))

    signature = SimpleNamespace(apply_async=apply_async)
    launcher_of(instance)._launch_celery_task_run(run, signature, "execute_job")  # type: ignore[arg-type]
    assert tags_when_sent == [run.run_id]
