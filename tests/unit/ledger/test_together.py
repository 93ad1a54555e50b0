"""Work that threads ask for at the same time is done as one."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from dagma.ledger.together import MOST, Together


class Slow:
    """Work that lasts until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, tasks: Sequence[int]) -> list[int]:
        self.groups.append(list(tasks))
        self.begun.set()
        assert self.go_on.wait(10)
        if -1 in tasks:
            raise ValueError("no")
        return [10 * task for task in tasks]


def while_it_works(slow: Slow, together: Together[int, int], tasks: Sequence[int]) -> list[object]:
    """Ask for one task, and for others while the first is worked on; give their outcomes or errors."""
    with ThreadPoolExecutor(len(tasks) + 1) as pool:
        futures = [pool.submit(together.do, 0)]
        assert slow.begun.wait(10)
        futures += [pool.submit(together.do, task) for task in tasks]
        while together.waiting < len(tasks):
            pass
        slow.go_on.set()
        return [future.exception() or future.result() for future in futures]


def test_a_thread_that_comes_alone_waits_for_nobody() -> None:
    slow = Slow()
    slow.go_on.set()
    assert Together(slow).do(3) == 30
    assert slow.groups == [[3]]


def test_threads_that_come_meanwhile_share_the_next_piece_of_work() -> None:
    slow = Slow()
    assert while_it_works(slow, Together(slow), range(1, 9)) == [10 * task for task in range(9)]
    assert [sorted(group) for group in slow.groups] == [[0], list(range(1, 9))]


def test_so_many_tasks_are_done_at_a_time_and_no_more() -> None:
    slow = Slow()
    assert while_it_works(slow, Together(slow), range(1, MOST + 3)) == [10 * task for task in range(MOST + 3)]
    assert [len(group) for group in slow.groups] == [1, MOST, 2]


def test_an_error_reaches_the_threads_whose_work_it_ended_and_no_others() -> None:
    slow = Slow()
    first, *others = while_it_works(slow, Together(slow), [-1, 1])
    assert first == 0
    assert [str(error) for error in others] == ["no", "no"]
    with pytest.raises(ValueError, match="no"):
        Together(slow).do(-1)
