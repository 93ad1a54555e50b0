"""Writing behind what goes on: threads hand in what is to be written, and don't wait for it."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

GATHER_SECONDS = 0.03
"""For how long what is to be written waits for more, in seconds: about as long as a commit takes on a slow disk."""
MOST = 100
"""How much is written at a time at most."""
IDLE_SECONDS = 1.0

Entry = TypeVar("Entry")

logger = logging.getLogger(__name__)


class WriteBehind(Generic[Entry]):
    """Writes the entries of many threads, many at a time and in their order, in a thread of its own.

    The thread starts with the first entry, and ends when there were none for a second.

    Args:
        write: Writes entries. What it raises is logged: nobody waits for it who could be told.
    """

    def __init__(self, write: Callable[[Sequence[Entry]], None]) -> None:
        self._write = write
        self._changed = threading.Condition()
        self._waiting: list[Entry] = []
        self._given = self._written = self._wanted = 0
        self._is_running = False

    def put(self, entry: Entry) -> None:
        """Hand an entry in."""
        with self._changed:
            self._waiting.append(entry)
            self._given += 1
            if not self._is_running:
                threading.Thread(target=self._run, name="dagma-write-behind", daemon=True).start()
                self._is_running = True
            self._changed.notify_all()

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until everything is written that was handed in before, and tell whether it is.

        Args:
            seconds: How long to wait at most; None for as long as it takes.
        """
        with self._changed:
            wanted = self._wanted = self._given
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._written >= wanted, seconds)

    def _run(self) -> None:
        while entries := self._gathered():
            try:
                self._write(entries)
            except Exception:
                logger.exception("Entries were not written: %d.", len(entries))
            with self._changed:
                self._written += len(entries)
                self._changed.notify_all()

    def _gathered(self) -> list[Entry]:
        """Wait for entries, and a moment for more of them unless somebody waits; none after a second without any."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, IDLE_SECONDS):
                self._is_running = False
                return []
            self._changed.wait_for(lambda: self._wanted > self._written or len(self._waiting) >= MOST, GATHER_SECONDS)
            entries, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            return entries
