"""The rows that are asked next: their calls begin a moment ahead, many in one transaction."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator

from dagma.batches.row_calls import ReadyRow, RowCalls
from dagma.batches.staged_rows import StagedRow

MOST_AHEAD = 32
AHEAD_SECONDS = 0.5
"""Rows are begun so long before they are asked, in seconds: those that take longer begin one by one."""


class ReadyRows:
    """Prepares rows in groups that grow while rows are asked fast, and shrink while they are not.

    Args:
        calls: Prepares them.
        clock: Gives seconds that only grow.
    """

    def __init__(self, calls: RowCalls, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._clock = clock
        self._ready: deque[ReadyRow] = deque()
        self._size = 1
        self._given = 0
        self._prepared_at = clock()

    def next(self, rows: Iterator[StagedRow]) -> ReadyRow | None:
        """Give the next row to ask; None where there are no more.

        Args:
            rows: The rows that are not prepared yet.
        """
        if not self._ready:
            self._prepare(rows)
        if not self._ready:
            return None
        self._given += 1
        return self._ready.popleft()

    def keep_ahead(self, rows: Iterator[StagedRow]) -> None:
        """Prepare more rows before the last ones are asked for, so that no thread waits for them.

        Args:
            rows: The rows that are not prepared yet.
        """
        if self._size > 1 and len(self._ready) <= self._size // 2:
            self._prepare(rows)

    def _prepare(self, rows: Iterator[StagedRow]) -> None:
        now = self._clock()
        seconds, self._prepared_at = now - self._prepared_at, now
        asked_soon = round(self._given / max(seconds, 1e-9) * AHEAD_SECONDS)
        self._size, self._given = min(max(asked_soon, 1), 2 * self._size, MOST_AHEAD), 0
        if some := list(itertools.islice(rows, self._size)):
            ready, have_begun = self._calls.prepare(some)
            self._ready += ready
            if not have_begun:
                # A limit has little room, or they were asked before: no row waits for others.
                self._size = 1
