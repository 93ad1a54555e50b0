"""How many calls of a batch are in flight: as few as the server is as fast with, below its limits."""

import threading
import time
from collections import deque
from collections.abc import Callable

FIRST_LEVEL = 2
# Calls per level that a rate is measured over.
CALLS_PER_LEVEL = 4
# What a higher level has to bring to be kept, and what a lower one may not lose.
LEAST_GAIN = 1.05
# A level that was kept is left for so many measurements, and for twice as many after each other one that was no better.
SHORTEST_REST, LONGEST_REST = 2, 64
# A call whose time has passed for longer than this waits for another: starts that are saved up would come all at once.
STALE_SECONDS = 1.0
POLL_SECONDS = 0.2


class Pace:
    """Finds the level by measuring: the lowest one at which calls get through as fast as at any other.

    A server that answers more callers only later, as one with a single busy core does, is not sent more of them: what
    waits there would keep everybody else waiting as well. One that asks to slow down is left alone for as long as it
    says, by all threads of the batch, and the level is halved.

    Args:
        limit: The most calls in flight.
        clock: Gives seconds that only grow.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._slots = limit
        self._level = min(FIRST_LEVEL, limit)
        self._lock = threading.Lock()
        self._held_until = 0.0
        self._starts: deque[float] | None = None
        self._started = 0
        self._kept_level = self._level
        self._kept_rate: float | None = None
        self._rest = SHORTEST_REST
        self._left_of_rest = 0
        self._goes_up, self._doubles = True, True
        self._begin_measuring()

    @property
    def level(self) -> int:
        """How many calls may be in flight now."""
        return min(self._level, self._slots)

    @property
    def wanted(self) -> int:
        """How many calls the batch may want to have in flight soon."""
        return min(2 * self._level, self._limit)

    @property
    def seconds_held(self) -> float:
        """For how long nothing may be sent, in seconds."""
        return max(self._held_until - self._clock(), 0.0)

    @property
    def starts_wanted(self) -> int:
        """How many more calls may want to begin within a second, beside those that have their time already."""
        return max(self.wanted + 2 * self._started - len(self._starts or ()), 0)

    @property
    def is_short(self) -> bool:
        """Whether the batch waits for its part of the server's limits."""
        return not self._slots or (self._starts is not None and not self._starts)

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
                self._kept_rate, self._left_of_rest = None, SHORTEST_REST
                self._goes_up, self._doubles = True, False
            self._held_until = max(self._held_until, now + seconds)
            self._begin_measuring()

    def bound(self, slots: int) -> None:
        """Keep to the part of the server's limit that this batch has: so many calls in flight."""
        with self._lock:
            if self._level == self._slots < slots:
                # It would have gone on rising.
                self._goes_up, self._left_of_rest = True, 0
            self._slots = slots
            if max(slots, 1) < self._level:
                self._level = self._kept_level = max(slots, 1)
                self._kept_rate = None
                self._begin_measuring()

    def schedule(self, starts: tuple[float, ...] | None) -> None:
        """Take the times at which further calls may begin.

        Args:
            starts: In how many seconds from now each; None where nothing limits that.
        """
        with self._lock:
            now, self._started = self._clock(), 0
            self._starts = None if starts is None else deque([*(self._starts or ()), *(now + each for each in starts)])

    def wait(self, over: threading.Event) -> None:
        """Wait until a call may be sent, or the batch is over."""
        while not over.is_set():
            if self.seconds_held:
                over.wait(self.seconds_held)
            elif (seconds := self._seconds_to_start()) is None:
                over.wait(POLL_SECONDS)
            else:
                over.wait(seconds)
                if not self.seconds_held:
                    return

    def _seconds_to_start(self) -> float | None:
        """Take the next time at which a call may begin; None where there is none yet."""
        with self._lock:
            if self._starts is None:
                return 0.0
            now = self._clock()
            while self._starts:
                start = self._starts.popleft()
                if start > now - STALE_SECONDS:
                    self._started += 1
                    return max(start - now, 0.0)
            return None

    def _begin_measuring(self) -> None:
        self._ended = 0
        self._measured_from = self._clock()

    def _judge(self, rate: float) -> None:
        if self._level != self._kept_level and self._kept_rate is not None:
            least = LEAST_GAIN if self._level > self._kept_level else 1 / LEAST_GAIN
            if rate < least * self._kept_rate:
                self._level = self._kept_level
                self._turn_round()
                return
        self._kept_level, self._kept_rate = self._level, rate
        self._left_of_rest -= 1
        if self._left_of_rest > 0:
            return
        self._level = self._next_level()
        if self._level == self._kept_level:
            self._turn_round()

    def _next_level(self) -> int:
        """Twice as many until that has failed once, then a quarter more or fewer."""
        step = self._level if self._doubles else max(self._level // 4, 1)
        return (
            min(self._level + step, self._limit, max(self._slots, 1)) if self._goes_up else max(self._level - step, 1)
        )

    def _turn_round(self) -> None:
        self._goes_up, self._doubles = not self._goes_up, False
        self._left_of_rest = self._rest
        self._rest = min(2 * self._rest, LONGEST_REST)
