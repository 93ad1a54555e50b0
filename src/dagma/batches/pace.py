"""How many calls of a batch are in flight: as few as the server is as fast with, below its limits for all batches."""

import logging
import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from dagma import environment
from dagma.ledger import Ledger, LedgerError
from dagma.ledger.server_limits import ServerLimits, Wish

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

RENEW_SECONDS = 1.0
# While others have what this batch wants, or the server has asked to slow down.
HURRIED_SECONDS = 0.25
# Clocks and messages make the same hold look longer or shorter by so much.
SAME_HOLD_SECONDS = 0.5

logger = logging.getLogger(__name__)


class Pace:
    """Finds the level by measuring: the lowest one at which calls get through as fast as at any other.

    A server that answers more callers only later, as one with a single busy core does, is not sent more of them: what
    waits there would keep everybody else waiting as well. One that asks to slow down is left alone for as long as it
    says, by all threads of the batch, and the level is halved.
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
        """Leave a server alone for so many seconds that has refused a call because there are too many."""
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
        self._slots = slots

    def schedule(self, starts: tuple[float, ...] | None) -> None:
        """Take in how many seconds from now each further call may begin; None where nothing limits that."""
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
        return min(self._level + step, self._limit) if self._goes_up else max(self._level - step, 1)

    def _turn_round(self) -> None:
        self._goes_up, self._doubles = not self._goes_up, False
        self._left_of_rest = self._rest
        self._rest = min(2 * self._rest, LONGEST_REST)


class ServerShare:
    """Keeps a batch's pace within what the limits of its server leave for it: all batches meet in the ledger."""

    def __init__(self, ledger: Ledger, server: str, pace: Pace) -> None:
        self._limits = ServerLimits(
            ledger.database, server, uuid.uuid4().hex, in_flight_from_environment(), per_second_from_environment()
        )
        self._pace = pace
        self._renewed_at = -math.inf
        self._known_hold_ends = 0.0

    def keep(self, in_flight: int, has_more: bool) -> None:
        """Renew the share where it is time: to be called several times a second.

        Args:
            in_flight: How many calls the batch has in flight.
            has_more: Whether it has more to make.
        """
        pace, now = self._pace, time.monotonic()
        # A hold that the others know is not told them again: counted from later each time, it would never end.
        has_news = pace.seconds_held > 0 and now + pace.seconds_held > self._known_hold_ends + SAME_HOLD_SECONDS
        if now - self._renewed_at < (HURRIED_SECONDS if pace.is_short or has_news else RENEW_SECONDS):
            return
        self._renewed_at = now
        wish = Wish(
            slots=pace.wanted if has_more else in_flight,
            in_flight=in_flight,
            starts=pace.starts_wanted,
            held_seconds=pace.seconds_held if has_news else 0.0,
        )
        try:
            share = self._limits.renew(wish)
        except LedgerError as error:
            # The calls of the batch will tell, and more patiently.
            logger.warning("The batch continues with the share of its server that it has: %s", error)
            return
        pace.bound(share.slots)
        pace.schedule(share.starts)
        # Counted from before the ledger was asked, so that the time that it took does not prolong the hold.
        self._known_hold_ends = now + share.held_seconds
        held_seconds = self._known_hold_ends - time.monotonic()
        if held_seconds > pace.seconds_held + SAME_HOLD_SECONDS:
            pace.slow_down(held_seconds)

    def give_back(self) -> None:
        """Leave the share to the other batches."""
        with suppress(LedgerError):  # it expires by itself
            self._limits.give_back()


def in_flight_from_environment() -> int:
    """Read how many calls may be in flight at a server from `DAGMA_MAX_IN_FLIGHT`.

    Raises:
        SettingError: It is no positive number.
    """
    return max(int(environment.positive_number("DAGMA_MAX_IN_FLIGHT", default=32.0)), 1)


def per_second_from_environment() -> float | None:
    """Read how many calls may begin a second at a server from `DAGMA_MAX_PER_SECOND`; None for any number.

    Raises:
        SettingError: It is no positive number.
    """
    if environment.text("DAGMA_MAX_PER_SECOND") is None:
        return None
    return environment.positive_number("DAGMA_MAX_PER_SECOND", default=10.0)
