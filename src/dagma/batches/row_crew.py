"""The threads that make a batch's calls."""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


class Crew(Generic[Task, Outcome]):
    """Threads that work on tasks, as many as were ever in flight together.

    A call in flight can't be interrupted, and a batch that is cancelled does not wait for it: the threads end with the
    process, or with their call, whose answer the ledger then has.

    Args:
        work: What a thread does with a task.
    """

    def __init__(self, work: Callable[[Task], Outcome]) -> None:
        self._work = work
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._threads = 0
        self.in_flight = 0

    def give(self, task: Task) -> None:
        """Begin a task."""
        self.in_flight += 1
        if self.in_flight > self._threads:
            self._threads += 1
            threading.Thread(target=self._run, name=f"dagma-batch-{self._threads}", daemon=True).start()
        self._tasks.put(task)

    def take(self, seconds: float) -> Outcome | None:
        """Take an outcome, in the order of their ends; None where there is none within so many seconds.

        Raises:
            BaseException: What the work of that task has raised.
        """
        try:
            outcome = self._outcomes.get(timeout=seconds) if seconds else self._outcomes.get_nowait()
        except queue.Empty:
            return None
        self.in_flight -= 1
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def dismiss(self) -> None:
        """Let each thread end after the task that it has."""
        for _ in range(self._threads):
            self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                outcome: Outcome | BaseException = self._work(task)
            except BaseException as error:  # noqa: BLE001 (raised where the outcome is taken)
                outcome = error
            self._outcomes.put(outcome)
