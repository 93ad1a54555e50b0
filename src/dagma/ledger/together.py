"""One piece of work for threads that come at the same time, such as one transaction for the calls of all."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

MOST = 50
"""How many tasks are one piece of work at most."""

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


@dataclass
class _Waiting(Generic[Task, Outcome]):
    task: Task
    outcome: Outcome | None = None
    error: BaseException | None = None
    is_done: bool = False


class Together(Generic[Task, Outcome]):
    """Does what threads ask for at the same time as one piece of work, in the thread of one of them.

    A thread that comes alone works at once. Those that come meanwhile wait, and the first of them then works for all:
    no thread ever waits for others to come.

    No thread may be interrupted from outside in here, as Dagster interrupts the main thread of a run.

    Args:
        work: Does tasks, and gives the outcome of each, in their order. What it raises is raised in all their threads.
    """

    def __init__(self, work: Callable[[Sequence[Task]], Sequence[Outcome]]) -> None:
        self._work = work
        self._turn = threading.Condition()
        self._waiting: list[_Waiting[Task, Outcome]] = []
        self._is_working = False

    @property
    def waiting(self) -> int:
        """How many tasks nobody works on yet."""
        return len(self._waiting)

    def do(self, task: Task) -> Outcome:
        """Do a task, alone or with those of other threads; return its outcome."""
        mine = _Waiting[Task, Outcome](task)
        with self._turn:
            self._waiting.append(mine)
        while True:
            with self._turn:
                self._turn.wait_for(lambda: mine.is_done or not self._is_working)
                if mine.is_done:
                    break
                self._is_working = True
                group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            self._work_for(group)
        if mine.error is not None:
            raise mine.error
        return mine.outcome  # type: ignore[return-value]  # it is done

    def _work_for(self, group: Sequence[_Waiting[Task, Outcome]]) -> None:
        try:
            for each, outcome in zip(group, self._work([each.task for each in group]), strict=True):
                each.outcome = outcome
        except BaseException as error:  # noqa: BLE001 (raised in each thread)
            for each in group:
                each.error = error
        with self._turn:
            for each in group:
                each.is_done = True
            self._is_working = False
            self._turn.notify_all()
