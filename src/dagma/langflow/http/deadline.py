"""The moment by which an operation has to be over, and the one thread that watches all such moments.

To start a thread for each exchange would take as long as a small exchange.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from dagma.langflow.errors import CallTimeout


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, shared by the attempts, waits and reads of an operation.

    Args:
        at: The moment, as `time.monotonic()` counts, in seconds.
        seconds: The time that was given, for messages.
    """

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline that lies `seconds` ahead."""
        return cls(time.monotonic() + seconds, seconds)

    def at_most(self, other: "Deadline") -> "Deadline":
        """Return the earlier of two deadlines."""
        return min(self, other, key=lambda deadline: deadline.at)

    def remaining(self) -> float:
        """Return the seconds left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    def passed(self) -> bool:
        """Return whether no time is left."""
        return self.remaining() <= 0.0

    def check(self, doing: str) -> None:
        """Raise if no time is left to begin something that runs no flow unless it is sent.

        Raises:
            CallTimeout: No time is left; nothing was sent.
        """
        if self.passed():
            raise CallTimeout(f"The deadline of {self.seconds:g} s passed before {doing}.", outcome="not_run")


class Alarms:
    """Calls back when a time has come, from a thread of its own that starts with the first alarm.

    Callbacks must be short, and must not raise. Threads may share one; in a forked child it starts empty.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._alarms: dict[Hashable, tuple[float, Callable[[], object]]] = {}
        self._is_running = False
        self._wakes_at = math.inf

    def set(self, owner: Hashable, seconds: float, callback: Callable[[], object]) -> None:
        """Set the alarm of an owner, who has one at most.

        Args:
            owner: Who sets it.
            seconds: In how many seconds.
            callback: What to do then.
        """
        at = time.monotonic() + seconds
        with self._changed:
            self._alarms[owner] = (at, callback)
            if not self._is_running:
                threading.Thread(target=self._run, name="dagma-alarms", daemon=True).start()
                self._is_running = True
            elif at < self._wakes_at:
                self._changed.notify()

    def cancel(self, owner: Hashable) -> None:
        """Cancel an owner's alarm, if it has not gone off; it may be going off right now.

        Args:
            owner: Who set it.
        """
        # The thread is left to sleep: it finds out when it wakes.
        with self._changed:
            self._alarms.pop(owner, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = [owner for owner, (at, _) in self._alarms.items() if at <= now]
                callbacks = [self._alarms.pop(owner)[1] for owner in due]
                if not callbacks:
                    self._wakes_at = min((at for at, _ in self._alarms.values()), default=math.inf)
                    self._changed.wait(min(self._wakes_at - now, threading.TIMEOUT_MAX))
            for callback in callbacks:
                callback()

    def _forget_after_fork(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._alarms = {}
        self._is_running = False


alarms = Alarms()
"""Those of this process."""

os.register_at_fork(after_in_child=alarms._forget_after_fork)
