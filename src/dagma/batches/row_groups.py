"""How many rows begin together, a moment before they are asked."""

import time
from collections.abc import Callable

MOST_ROWS = 32
AHEAD_SECONDS = 0.5
"""Rows are begun so long before they are asked, in seconds: those that take longer begin one by one."""


class RowGroups:
    """Chooses groups that grow while rows are answered fast, and shrink while they are not.

    Args:
        clock: Gives seconds that only grow.

    Attributes:
        size: How many rows the last group had.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ended = 0
        self._chosen_at = clock()
        self.size = 1

    def next_size(self, ended: int) -> int:
        """Choose how many rows begin now.

        Args:
            ended: How many rows have been answered in all.
        """
        if ended > self._ended:
            now = self._clock()
            rate = (ended - self._ended) / max(now - self._chosen_at, 1e-9)
            self._ended, self._chosen_at = ended, now
            self.size = min(max(round(rate * AHEAD_SECONDS), 1), 2 * self.size, MOST_ROWS)
        return self.size

    def shrink(self) -> None:
        """Begin the next rows almost alone, since a group could not begin together."""
        self.size = 1
