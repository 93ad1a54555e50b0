"""The threads of a batch: as many tasks at a time as they are let, in order, and no task lost or done twice."""

import threading
from collections.abc import Callable

import pytest

from dagma.batches.row_crew import Crew


class Work:
    """Tasks that last until they are let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.may_end = threading.Semaphore(0)
        self._changed = threading.Condition()

    def __call__(self, task: int) -> int:
        with self._changed:
            self.begun.append(task)
            self._changed.notify_all()
        assert self.may_end.acquire(timeout=10)
        if task < 0:
            raise ValueError(task)
        return 10 * task

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(is_so, 10)


def taken(crew: Crew[int, int], count: int) -> list[int]:
    outcomes = [crew.take(10) for _ in range(count)]
    return sorted(outcome for outcome in outcomes if outcome is not None)


def test_tasks_are_worked_on_in_their_order_and_so_many_at_a_time() -> None:
    work = Work()
    crew = Crew(work)
    crew.let_work(2)
    crew.give([1, 2, 3, 4])
    work.wait_for(lambda: len(work.begun) == 2)
    assert (sorted(work.begun), crew.working, crew.waiting, crew.given) == ([1, 2], 2, 2, 4)
    work.may_end.release(4)
    assert taken(crew, 4) == [10, 20, 30, 40]
    assert sorted(work.begun[:2]) == [1, 2]
    assert (crew.given, crew.take(0)) == (0, None)


def test_fewer_tasks_are_begun_once_fewer_are_let_and_more_once_more_are() -> None:
    work = Work()
    crew = Crew(work)
    crew.let_work(2)
    crew.give(range(1, 7))
    work.wait_for(lambda: len(work.begun) == 2)
    crew.let_work(1)
    work.may_end.release(1)
    assert len(taken(crew, 1)) == 1
    assert (crew.working, len(work.begun)) == (1, 2)
    crew.let_work(3)
    work.wait_for(lambda: len(work.begun) == 4)
    assert crew.working == 3
    work.may_end.release(9)
    assert len(taken(crew, 5)) == 5


def test_tasks_that_wait_are_forgotten_and_those_under_way_end() -> None:
    work = Work()
    crew = Crew(work)
    crew.let_work(1)
    crew.give([1, 2, 3])
    work.wait_for(lambda: bool(work.begun))
    crew.forget_waiting()
    assert (crew.given, crew.waiting) == (1, 0)
    work.may_end.release(3)
    assert taken(crew, 1) == [10]
    crew.give([4])
    assert taken(crew, 1) == [40]


def test_what_a_task_raises_is_raised_where_its_outcome_is_taken() -> None:
    work = Work()
    work.may_end.release(2)
    crew = Crew(work)
    crew.let_work(1)
    crew.give([-1, 2])
    with pytest.raises(ValueError, match="-1"):
        crew.take(10)
    assert taken(crew, 1) == [20]


def test_threads_that_are_dismissed_end_after_the_task_that_they_have() -> None:
    work = Work()
    crew = Crew(work)
    crew.let_work(2)
    before = set(threading.enumerate())
    crew.give([1, 2, 3])
    work.wait_for(lambda: len(work.begun) == 2)
    threads = set(threading.enumerate()) - before
    crew.dismiss()
    work.may_end.release(3)
    assert taken(crew, 2) == [10, 20]
    for thread in threads:
        thread.join(10)
    assert (len(threads), any(thread.is_alive() for thread in threads)) == (2, False)
