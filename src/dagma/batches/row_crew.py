"""The threads that make a batch's calls."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


class Crew(Generic[Task, Outcome]):
    """Threads that work on tasks, so many at a time as they are let; further tasks wait for the first that is free.

    A call in flight can't be interrupted, and a batch that is cancelled does not wait for it: the threads end with the
    process, or with their call, whose answer the ledger then has.

    Attributes:
        given: How many tasks were given whose outcome was not taken yet.
        working: How many tasks are worked on.
    """

    def __init__(self, work: Callable[[Task], Outcome]) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._tasks: deque[Task] = deque()
        self._outcomes: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._most = self._threads = 0
        self._is_dismissed = False
        self.given = self.working = 0

    @property
    def waiting(self) -> int:
        """How many tasks wait for a thread."""
        return len(self._tasks)

    def let_work(self, most: int) -> None:
        """Say on how many tasks the threads may work at a time. Those that are worked on go on."""
        with self._changed:
            self._most = most
            self._go_on()

    def give(self, tasks: Iterable[Task]) -> None:
        """Begin tasks, in their order."""
        with self._changed:
            before = len(self._tasks)
            self._tasks += tasks
            self.given += len(self._tasks) - before
            self._go_on()

    def take(self, seconds: float) -> Outcome | None:
        """Take an outcome, or raise what its task has raised; None where there is none within so many seconds."""
        try:
            outcome = self._outcomes.get(timeout=seconds) if seconds else self._outcomes.get_nowait()
        except queue.Empty:
            return None
        self.given -= 1
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def forget_waiting(self) -> None:
        """Forget the tasks that wait."""
        with self._changed:
            self.given -= len(self._tasks)
            self._tasks.clear()

    def dismiss(self) -> None:
        """Let each thread end after the task that it has."""
        self.forget_waiting()
        with self._changed:
            self._is_dismissed = True
            self._changed.notify_all()

    def _go_on(self) -> None:
        while self._threads < min(self._most, self.working + len(self._tasks)):
            self._threads += 1
            threading.Thread(target=self._run, name=f"dagma-batch-{self._threads}", daemon=True).start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_dismissed or (self._tasks and self.working < self._most))
                if self._is_dismissed:
                    return
                task = self._tasks.popleft()
                self.working += 1
            try:
                outcome: Outcome | BaseException = self._work(task)
            except BaseException as error:  # noqa: BLE001 (raised where the outcome is taken)
                outcome = error
            with self._changed:
                self.working -= 1
            self._outcomes.put(outcome)
