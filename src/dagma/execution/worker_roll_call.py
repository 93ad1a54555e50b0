"""Asks Celery workers which runs they execute, and remembers since when one has not answered."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from celery import Celery
from celery.states import READY_STATES
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

MISSES = 3
SILENCE_SECONDS = 30.0
"""Longer than a worker takes to shut down, and to reconnect to a broker that was restarted."""
ANSWER_SECONDS = 2.0

# kombu raises the transport's own errors as they are: Redis's, and the socket's.
BROKER_ERRORS = (KombuError, RedisError, OSError)


class Presence(Enum):
    """Where a task is, as far as the workers say."""

    PRESENT = "a worker executes it"
    ABSENT = "its worker answers and does not have it"
    SILENT = "its worker does not answer"
    DRAINING = "its worker is shutting down, and continues the runs that it has"
    LOST = "its worker has not answered for too long"
    UNREACHABLE = "the broker can't be reached"


@dataclass(frozen=True)
class TaskState:
    """What the result backend knows of a task."""

    name: str
    """Celery's word: PENDING (also for a task it knows nothing of), STARTED, SUCCESS, FAILURE, REVOKED."""

    hostname: str | None = None
    """The worker that started the task, for a task in STARTED."""

    @property
    def is_finished(self) -> bool:
        """Whether no worker executes the task any more."""
        return self.name in READY_STATES


class RollCall:
    """Asks workers over the broker, bounded in time.

    A worker whose broker restarts answers nothing for a while, and its run goes on. So no single miss counts: a worker
    is lost after `SILENCE_SECONDS` and at least `MISSES` misses during which the broker worked. A worker that shuts
    down answers nothing either, for as long as its runs take: it leaves a mark in the result backend, which is Redis.
    """

    def __init__(self, app: Celery, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare to ask the workers of `app`, which have its broker and result backend."""
        self._app = app
        self._clock = clock
        self._misses: dict[str, list[float]] = {}
        """When, without an answer in between, the worker of a task has not answered, by the task's id."""

    def state_of(self, task_id: str) -> TaskState:
        """Read a task's state from the result backend.

        Raises:
            BROKER_ERRORS: The result backend can't be reached.
        """
        try:
            meta: dict[str, Any] = self._app.backend.get_task_meta(task_id, cache=False)
        except BROKER_ERRORS:
            self._start_over()
            raise
        detail = meta.get("result")
        hostname = detail.get("hostname") if meta["status"] == "STARTED" and isinstance(detail, dict) else None
        return TaskState(meta["status"], hostname)

    def find(self, task_id: str, hostname: str | None) -> Presence:
        """Ask the worker `hostname`, or all of them where it is None, whether it executes the task.

        Where the worker is not known, one that has not answered may be the one: nobody's having it is a silence.
        """
        try:
            inspect = self._app.control.inspect(destination=[hostname] if hostname else None, timeout=ANSWER_SECONDS)
            answers: dict[str, dict[str, Any]] = inspect.query_task(task_id) or {}
        except BROKER_ERRORS:
            self._start_over()
            return Presence.UNREACHABLE
        if any(task_id in tasks for tasks in answers.values()):
            self._misses.pop(task_id, None)
            return Presence.PRESENT
        if hostname and answers:
            self._misses.pop(task_id, None)
            return Presence.ABSENT
        if hostname and self._is_draining(hostname):
            return Presence.DRAINING
        return self._count_miss(task_id)

    def interrupt(self, task_id: str) -> None:
        """Tell every worker to drop the task if it waits, and to interrupt it if it runs.

        Raises:
            BROKER_ERRORS: The broker can't be reached.
        """
        self._app.control.revoke(task_id, terminate=True, signal="SIGTERM")

    def mark_draining(self, hostname: str, *, seconds: float) -> None:
        """Note that a worker shuts down, and for how long at most its runs go on.

        Raises:
            BROKER_ERRORS: The result backend can't be reached.
        """
        self._app.backend.client.set(_draining_key(hostname), "1", px=int(seconds * 1000))

    def _is_draining(self, hostname: str) -> bool:
        try:
            return bool(self._app.backend.client.exists(_draining_key(hostname)))
        except BROKER_ERRORS:
            return False

    def _start_over(self) -> None:
        """Forget every miss: workers need time to find a broker again that was away."""
        self._misses.clear()

    def _count_miss(self, task_id: str) -> Presence:
        # By task, since only a run that goes on is asked for without a gap: a worker's misses of a run that has ended
        # since say nothing of the time between.
        misses = self._misses.setdefault(task_id, [])
        misses.append(self._clock())
        is_lost = len(misses) >= MISSES and misses[-1] - misses[0] >= SILENCE_SECONDS
        return Presence.LOST if is_lost else Presence.SILENT


def _draining_key(hostname: str) -> str:
    return f"dagma-draining-{hostname}"
