from types import SimpleNamespace
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from dagma.execution.worker_roll_call import Presence, RollCall

HOST = "celery@worker-1"


class Workers:
    """Answers in the place of a broker with workers behind it; `answers` is None where the broker is away."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] | None = {}
        self.asked: list[list[str] | None] = []
        self.revoked: list[tuple[str, bool, str]] = []
        self.meta: dict[str, Any] | None = {"status": "STARTED", "result": {"hostname": HOST, "pid": 7}}
        self.marks: dict[str, int] = {}
        self.control = SimpleNamespace(inspect=self.inspect, revoke=self.revoke)
        self.backend = SimpleNamespace(
            get_task_meta=self.get_task_meta,
            client=SimpleNamespace(exists=lambda key: key in self.marks, set=self.mark),
        )

    def get_task_meta(self, _task_id: str, *, cache: bool) -> dict[str, Any]:
        # Cached, a task that was seen once would be STARTED for ever.
        assert cache is False
        if self.meta is None:
            raise OperationalError("connection refused")
        return self.meta

    def inspect(self, destination: list[str] | None, timeout: float) -> Any:
        assert timeout > 0
        self.asked.append(destination)
        return SimpleNamespace(query_task=self.query_task)

    def query_task(self, _task_id: str) -> dict[str, Any] | None:
        if self.answers is None:
            raise OperationalError("connection refused")
        return self.answers or None

    def revoke(self, task_id: str, *, terminate: bool, signal: str) -> None:
        self.revoked.append((task_id, terminate, signal))

    def mark(self, key: str, _value: str, px: int) -> None:
        self.marks[key] = px


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def roll_call(workers: Workers, clock: Clock) -> RollCall:
    return RollCall(workers, clock=clock)  # type: ignore[arg-type]  # as much of an app as is used


def test_a_started_task_names_its_worker(roll_call: RollCall) -> None:
    task = roll_call.state_of("t")
    assert (task.name, task.hostname, task.is_finished) == ("STARTED", HOST, False)


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED"])
def test_a_finished_task_has_no_worker(roll_call: RollCall, workers: Workers, state: str) -> None:
    workers.meta = {"status": state, "result": 0}
    task = roll_call.state_of("t")
    assert task.is_finished
    assert task.hostname is None


def test_only_the_worker_that_started_the_task_is_asked(roll_call: RollCall, workers: Workers) -> None:
    workers.answers = {HOST: {"t": ["active", {}]}}
    assert roll_call.find("t", HOST) is Presence.PRESENT
    assert workers.asked == [[HOST]]


def test_a_worker_that_answers_and_does_not_have_the_task_has_lost_it(roll_call: RollCall, workers: Workers) -> None:
    workers.answers = {HOST: {}}
    assert roll_call.find("t", HOST) is Presence.ABSENT


def test_a_silent_worker_is_lost_only_after_the_silence_and_three_misses(roll_call: RollCall, clock: Clock) -> None:
    assert roll_call.find("t", HOST) is Presence.SILENT
    clock.now += 100
    assert roll_call.find("t", HOST) is Presence.SILENT
    assert roll_call.find("t", HOST) is Presence.LOST


def test_many_misses_in_a_short_time_are_not_enough(roll_call: RollCall, clock: Clock) -> None:
    for _ in range(10):
        clock.now += 2
        assert roll_call.find("t", HOST) is Presence.SILENT


def test_one_answer_ends_the_silence(roll_call: RollCall, workers: Workers, clock: Clock) -> None:
    roll_call.find("t", HOST)
    clock.now += 40
    workers.answers = {HOST: {"t": ["active", {}]}}
    assert roll_call.find("t", HOST) is Presence.PRESENT
    workers.answers = {}
    assert roll_call.find("t", HOST) is Presence.SILENT


def test_what_a_worker_missed_of_one_run_does_not_count_for_another(roll_call: RollCall, clock: Clock) -> None:
    # The first run ends by itself after two misses: nobody asks for it again.
    for _ in range(2):
        assert roll_call.find("first", HOST) is Presence.SILENT
    clock.now += 3600
    for _ in range(2):
        assert roll_call.find("second", HOST) is Presence.SILENT
    clock.now += 40
    assert roll_call.find("second", HOST) is Presence.LOST


@pytest.mark.parametrize("away", ["result backend", "broker"])
def test_what_was_away_starts_every_count_over(roll_call: RollCall, workers: Workers, clock: Clock, away: str) -> None:
    roll_call.find("t", HOST)
    roll_call.find("t", HOST)
    clock.now += 40
    if away == "broker":
        workers.answers = None
        assert roll_call.find("t", HOST) is Presence.UNREACHABLE
        workers.answers = {}
    else:
        meta, workers.meta = workers.meta, None
        with pytest.raises(OperationalError):
            roll_call.state_of("t")
        workers.meta = meta
    assert roll_call.find("t", HOST) is Presence.SILENT


def test_a_task_whose_worker_is_not_known_is_asked_of_all(roll_call: RollCall, workers: Workers) -> None:
    workers.answers = {"celery@other": {}, HOST: {"t": ["active", {}]}}
    assert roll_call.find("t", None) is Presence.PRESENT
    assert workers.asked == [None]


def test_without_a_known_worker_an_answer_of_others_is_not_proof(
    roll_call: RollCall, workers: Workers, clock: Clock
) -> None:
    workers.answers = {"celery@other": {}}
    assert roll_call.find("t", None) is Presence.SILENT
    assert roll_call.find("t", None) is Presence.SILENT
    clock.now += 40
    assert roll_call.find("t", None) is Presence.LOST


def test_a_worker_that_announced_its_shutdown_may_be_silent(
    roll_call: RollCall, workers: Workers, clock: Clock
) -> None:
    roll_call.mark_draining(HOST, seconds=60)
    assert list(workers.marks.values()) == [60_000]
    for _ in range(5):
        clock.now += 40
        assert roll_call.find("t", HOST) is Presence.DRAINING
    workers.marks.clear()
    assert roll_call.find("t", HOST) is Presence.SILENT


def test_an_interrupt_reaches_waiting_and_running_tasks(roll_call: RollCall, workers: Workers) -> None:
    roll_call.interrupt("t")
    assert workers.revoked == [("t", True, "SIGTERM")]
