"""One moment by which an operation has to be over, shared by its attempts, its waits and its reads."""

import time
from dataclasses import dataclass

from dagma.langflow.errors import CallTimeout


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock.

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
