"""How patient an operation is: the moment by which it has to be over, and when its request is sent again until then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from dagma.backoff import Backoff
from dagma.langflow.errors import CallTimeout, LangflowError, RateLimited

T = TypeVar("T")
_BACKOFF = Backoff(first=0.5, longest=20.0)

_tell: ContextVar[Callable[[float], None]] = ContextVar("dagma_tell_of_waits", default=lambda _: None)


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


@contextmanager
def telling_of_waits(tell: Callable[[float], None]) -> Iterator[None]:
    """Tell of each wait that a server asks for in the block, so that other callers can hold back as well.

    Args:
        tell: Given the seconds, before the wait begins, in the thread of the call.
    """
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


@dataclass(frozen=True)
class RetryPolicy:
    """When to send a request again, within the deadline of the call.

    A request that runs a flow is sent again only after an error whose `outcome` is `not_run`: the connection was
    refused or no byte was sent, 429, or a 503 that says it was refused (Langflow's own code, or `Retry-After`). After
    a read time-out or a connection that broke off it never is, since the flow may go on and be paid for. A request
    that runs no flow is sent again after every error that is `retryable`.

    Args:
        attempts: How often to send at most; 1 turns retries off.
        backoff: How long to wait in between.
    """

    attempts: int = 4
    backoff: Backoff = _BACKOFF

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.backoff.first < 0 or self.backoff.longest < 0:
            raise ValueError("A retry policy needs at least 1 attempt and waits of at least 0 seconds.")

    def call(self, request: Callable[[], T], *, deadline: Deadline, idempotent: bool) -> T:
        """Send until there is an answer, an error that is not to be retried, or no time or attempt left.

        Args:
            request: Sends once.
            deadline: When to give up; a wait that would pass it is not begun.
            idempotent: Whether sending twice is harmless.

        Raises:
            LangflowError: The last error; its `outcome` is `not_run` only if that of each one before was.
        """
        may_have_run = False
        for attempt in range(1, self.attempts + 1):
            try:
                return request()
            except LangflowError as error:
                if may_have_run and error.outcome == "not_run":
                    error.outcome = "unknown"
                may_have_run = error.outcome != "not_run"
                may_retry = error.retryable and (idempotent or error.outcome == "not_run")
                wait = self.backoff.seconds(attempt, error.retry_after)
                if attempt == self.attempts or not may_retry or wait >= deadline.remaining():
                    raise
                if error.retry_after is not None or isinstance(error, RateLimited):
                    _tell.get()(wait)
                time.sleep(wait)
        raise AssertionError("unreachable: every attempt returns or raises")
