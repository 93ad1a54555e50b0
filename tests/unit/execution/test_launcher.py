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
from dagma.execution.worker_roll_call import Presence, TaskState

HOST = "celery@worker-1"


class FakeRollCall:
    """What the workers say, scripted; `away` stands for a broker and result backend that can't be reached."""

    def __init__(self) -> None:
        self.task = TaskState("STARTED", HOST)
        self.presence = Presence.PRESENT
        self.away = False
        self.calls: list[str] = []

    def state_of(self, task_id: str) -> TaskState:
        return self._answer(f"state {task_id}", self.task)

    def find(self, task_id: str, hostname: str | None) -> Presence:
        return self._answer(f"find {task_id} on {hostname}", self.presence)

    def interrupt(self, task_id: str) -> None:
        self._answer(f"interrupt {task_id}", None)

    def _answer(self, call: str, answer: Any) -> Any:
        self.calls.append(call)
        if self.away:
            raise RedisConnectionError("connection refused")
        return answer


@pytest.fixture
def roll_call() -> FakeRollCall:
    return FakeRollCall()


@pytest.fixture
def instance(roll_call: FakeRollCall, dagster_home: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://127.0.0.1:1/1")
    launcher = {"module": "dagma.execution.launcher", "class": "CeleryRunLauncher"}
    with dg.instance_for_test(temp_dir=dagster_home, overrides={"run_launcher": launcher}) as instance:
        launcher_of(instance)._roll_call = roll_call  # type: ignore[assignment]  # the one seam to the network
        yield instance


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
    instance: DagsterInstance, roll_call: FakeRollCall
) -> None:
    run = run_in(instance, DagsterRunStatus.STARTED)
    assert launcher_of(instance).terminate(run.run_id) is True
    # The interrupted run finds itself CANCELING, which is what makes it end as CANCELED.
    assert status_of(instance, run) is DagsterRunStatus.CANCELING
    assert roll_call.calls[-2:] == [f"find {run.run_id} on {HOST}", f"interrupt {run.run_id}"]


@pytest.mark.parametrize(
    ("task", "presence"),
    [
        (TaskState("FAILURE"), Presence.PRESENT),
        (TaskState("REVOKED"), Presence.PRESENT),
        (TaskState("SUCCESS"), Presence.PRESENT),
        (TaskState("STARTED", HOST), Presence.ABSENT),
    ],
    ids=["failed", "revoked", "done", "its worker does not have it"],
)
def test_a_run_that_no_worker_has_any_more_is_canceled_at_once(
    instance: DagsterInstance, roll_call: FakeRollCall, task: TaskState, presence: Presence
) -> None:
    roll_call.task, roll_call.presence = task, presence
    run = run_in(instance, DagsterRunStatus.STARTED)
    assert launcher_of(instance).terminate(run.run_id) is True
    assert status_of(instance, run) is DagsterRunStatus.CANCELED


def test_a_run_that_waits_in_the_broker_is_canceled_at_once(instance: DagsterInstance, roll_call: FakeRollCall) -> None:
    roll_call.task = TaskState("PENDING")
    run = run_in(instance, DagsterRunStatus.STARTING)
    assert launcher_of(instance).terminate(run.run_id) is True
    assert roll_call.calls == [f"interrupt {run.run_id}", f"state {run.run_id}"]
    assert status_of(instance, run) is DagsterRunStatus.CANCELED


def test_a_run_that_a_worker_is_just_starting_is_left_to_the_interrupt(
    instance: DagsterInstance, roll_call: FakeRollCall
) -> None:
    run = run_in(instance, DagsterRunStatus.STARTING)
    assert launcher_of(instance).terminate(run.run_id) is True
    assert status_of(instance, run) is DagsterRunStatus.CANCELING


@pytest.mark.parametrize("presence", [Presence.SILENT, Presence.LOST, Presence.DRAINING, Presence.UNREACHABLE])
def test_a_cancel_that_no_worker_confirms_says_so(
    instance: DagsterInstance, roll_call: FakeRollCall, presence: Presence
) -> None:
    roll_call.presence = presence
    run = run_in(instance, DagsterRunStatus.STARTED)
    assert launcher_of(instance).terminate(run.run_id) is True
    assert status_of(instance, run) is DagsterRunStatus.CANCELING
    assert presence.value in messages(instance, run)


def test_a_cancel_without_a_broker_says_so(instance: DagsterInstance, roll_call: FakeRollCall) -> None:
    roll_call.away = True
    run = run_in(instance, DagsterRunStatus.STARTED)
    assert launcher_of(instance).terminate(run.run_id) is True
    assert status_of(instance, run) is DagsterRunStatus.CANCELING
    assert "the broker can't be reached" in messages(instance, run)


def test_a_run_that_has_ended_is_not_canceled(instance: DagsterInstance, roll_call: FakeRollCall) -> None:
    run = run_in(instance, DagsterRunStatus.SUCCESS)
    assert launcher_of(instance).terminate(run.run_id) is False
    assert launcher_of(instance).terminate("no such run") is False
    assert status_of(instance, run) is DagsterRunStatus.SUCCESS
    assert roll_call.calls == []


@pytest.mark.parametrize(
    ("presence", "status"),
    [
        (Presence.PRESENT, WorkerStatus.RUNNING),
        (Presence.SILENT, WorkerStatus.RUNNING),
        (Presence.DRAINING, WorkerStatus.RUNNING),
        (Presence.UNREACHABLE, WorkerStatus.RUNNING),
        (Presence.ABSENT, WorkerStatus.FAILED),
        (Presence.LOST, WorkerStatus.FAILED),
    ],
)
def test_a_worker_is_failed_only_when_it_is_known_not_to_have_the_run(
    instance: DagsterInstance, roll_call: FakeRollCall, presence: Presence, status: WorkerStatus
) -> None:
    roll_call.presence = presence
    health = launcher_of(instance).check_run_worker_health(run_in(instance, DagsterRunStatus.STARTED))
    assert health.status is status
    assert presence.value in str(health.msg)


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED"])
def test_a_task_that_ended_without_its_run_is_a_failed_worker(
    instance: DagsterInstance, roll_call: FakeRollCall, state: str
) -> None:
    roll_call.task = TaskState(state)
    health = launcher_of(instance).check_run_worker_health(run_in(instance, DagsterRunStatus.STARTED))
    assert health.status is WorkerStatus.FAILED
    assert state in str(health.msg)


def test_a_result_backend_that_is_away_fails_no_run(instance: DagsterInstance, roll_call: FakeRollCall) -> None:
    roll_call.away = True
    run = run_in(instance, DagsterRunStatus.STARTED)
    assert launcher_of(instance).check_run_worker_health(run).status is WorkerStatus.RUNNING


def test_a_task_id_other_than_the_runs_is_taken_from_its_tag(
    instance: DagsterInstance, roll_call: FakeRollCall
) -> None:
    run = run_in(instance, DagsterRunStatus.STARTED, tags={DAGSTER_CELERY_TASK_ID_TAG: "another"})
    launcher_of(instance).check_run_worker_health(run)
    assert roll_call.calls[0] == "state another"


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
