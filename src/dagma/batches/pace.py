"""How many calls of a batch are in flight: as many as the server is faster with, below a limit."""

import threading
import time
from collections.abc import Callable

FIRST_LEVEL = 4
# Calls per level that a rate is measured over.
CALLS_PER_LEVEL = 4
# What a higher level has to bring to be kept.
LEAST_GAIN = 1.05
# Measurements before a higher level is tried again.
PATIENCE = 10


class Pace:
    """Finds the level by measuring: a higher one is kept where calls get through faster, and given up where not.

    A server that answers more callers only later, as one with a single busy core does, is not sent more of them. One
    that asks to slow down is left alone for as long as it says, by all threads of the batch, and the level is halved.

    Args:
        limit: The most calls in flight.
        clock: Gives seconds that only grow.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._level = min(FIRST_LEVEL, limit)
        self._lock = threading.Lock()
        self._held_until = 0.0
        self._kept_rate: float | None = None
        self._kept_level = self._level
        self._patience = 0
        self._has_fallen_back = False
        self._begin_measuring()

    @property
    def level(self) -> int:
        """How many calls may be in flight now."""
        return self._level

    @property
    def seconds_held(self) -> float:
        """For how long nothing may be sent, in seconds."""
        return max(self._held_until - self._clock(), 0.0)

    def answered(self) -> None:
        """Count a call that was sent and has ended."""
        with self._lock:
            self._ended += 1
            if self._ended >= CALLS_PER_LEVEL * self._level:
                self._judge(self._ended / max(self._clock() - self._measured_from, 1e-9))
                self._begin_measuring()

    def slow_down(self, seconds: float) -> None:
        """Do what a server asks for that has refused a call because there are too many.

        Args:
            seconds: For how long it asked not to be called.
        """
        with self._lock:
            now = self._clock()
            if now >= self._held_until:  # once, for all calls that were in flight together
                self._level = self._kept_level = max(self._level // 2, 1)
                self._kept_rate, self._patience = None, PATIENCE
                self._has_fallen_back = True
            self._held_until = max(self._held_until, now + seconds)
            self._begin_measuring()

    def wait(self, over: threading.Event) -> None:
        """Wait until calls may be sent, or the batch is over."""
        while (seconds := self.seconds_held) and not over.wait(seconds):
            pass

    def _begin_measuring(self) -> None:
        self._ended = 0
        self._measured_from = self._clock()

    def _judge(self, rate: float) -> None:
        if self._level > self._kept_level and self._kept_rate is not None and rate < self._kept_rate * LEAST_GAIN:
            self._level, self._patience, self._has_fallen_back = self._kept_level, PATIENCE, True
            return
        self._kept_level, self._kept_rate = self._level, rate
        self._patience = max(self._patience - 1, 0)
        if not self._patience:
            # Twice as many until that has failed once, then one more at a time.
            step = 1 if self._has_fallen_back else self._level
            self._level = min(self._level + step, self._limit)
