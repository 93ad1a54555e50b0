"""The ledger for the calls of a batch: begun many at a time before they are sent, and ended many at a time."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Connection

from dagma.ledger.call import Begun, Call
from dagma.ledger.errors import LedgerError
from dagma.ledger.ledger import Ledger
from dagma.ledger.state_changes import Ending, end_all

LONGEST = 100_000
"""Longer inputs and answers, in characters, are written alone: many of them would be one huge statement."""
GATHER_SECONDS = 0.03
"""For how long what is to be written waits for more, in seconds: about as long as a commit takes on a slow disk."""
MOST = 100
"""How much is written at a time at most."""

Entry = TypeVar("Entry")

logger = logging.getLogger(__name__)


class GroupedLedger(Ledger):
    """A ledger for the threads of a batch, none of which waits for the disk.

    It keeps the same rows as the ledger, with the same errors. Calls are begun in groups before threads make them, and
    a call that was answered is written a moment later, with others; `flush` waits for that. Until then the call is in
    flight for everybody else. Whatever a group can't decide or do, each call does by itself.

    Args:
        ledger: The ledger, whose settings and connections it shares.
    """

    def __init__(self, ledger: Ledger) -> None:
        vars(self).update(vars(ledger))
        self._mutex = threading.Lock()
        self._ahead: dict[str, Begun] = {}
        self._unwritten: dict[str, Begun] = {}
        self._endings = WriteBehind[tuple[Begun, Ending | None]](self._write)

    def begin_ahead(self, calls: Sequence[Call]) -> bool:
        """Begin calls that are about to be made, in one transaction: `begin` finds them then.

        Returns:
            Whether all of them have begun. `begin` decides about each of the others, and has the errors.
        """
        short = [call for call in calls if len(call.input_text or "") <= LONGEST]
        if not short:
            return not calls
        self._tidy_now_and_then()
        begun = self._admission.admit_new(short)
        known = {each.key: each for each in begun if each is not None}
        with self._mutex:
            self._ahead |= known
        return len(known) == len(calls)

    def take_back(self, seconds: float) -> None:
        """Record that what was begun ahead and not made was not sent; wait for that for some seconds at most.

        Where it fails, the next `begin` of each call finds out.
        """
        with self._mutex:
            unsent, self._ahead = self._ahead, {}
            self._unwritten |= unsent
        for begun in unsent.values():
            self._endings.put((begun, None))
        self.flush(seconds)

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until the end of each call that has ended is written, and tell whether it is.

        Args:
            seconds: How long to wait at most; None for as long as it takes.
        """
        return self._endings.flush(seconds)

    def begin(self, call: Call, *, wait_seconds: float = 0.0) -> Begun:
        """Let a call in, as `Ledger.begin` does; one that was begun ahead is let in already."""
        with self._mutex:
            begun, is_unwritten = self._ahead.pop(call.key, None), call.key in self._unwritten
        if is_unwritten:
            self.flush()
        return begun or super().begin(call, wait_seconds=wait_seconds)

    def reject(self, begun: Begun, reason: str) -> None:
        """Record that an answer is of no use, as `Ledger.reject` does."""
        self.flush()
        super().reject(begun, reason)

    def release(self, begun: Begun) -> None:
        """Let go of a call, as `Ledger.release` does; one that has ended is let go of when that is written."""
        with self._mutex:
            is_unwritten = begun.key in self._unwritten
        if not is_unwritten:
            super().release(begun)

    def _end_answered(self, begun: Begun, ending: Ending, patience_seconds: float | None = None) -> None:
        if len(ending.body) > LONGEST:
            super()._end_answered(begun, ending, patience_seconds)
            return
        with self._mutex:
            self._unwritten[begun.key] = begun
        self._endings.put((begun, ending))

    def _write(self, ended: Sequence[tuple[Begun, Ending | None]]) -> None:
        unsent = [begun.call_id for begun, ending in ended if ending is None]
        answered = [(begun, ending) for begun, ending in ended if ending is not None]
        if unsent:
            self._admission.take_back(*unsent)
        if answered:
            self._write_answered(answered)
        with self._mutex:
            for begun, _ in ended:
                del self._unwritten[begun.key]
        self._presence.release(*(begun.call_id for begun, _ in ended))

    def _write_answered(self, answered: Sequence[tuple[Begun, Ending]]) -> None:
        endings = [ending for _, ending in answered]

        def work(connection: Connection) -> set[str]:
            return end_all(connection, endings, self.database.clock())

        try:
            written = self.database.transact(work, self._patience_seconds)
        except LedgerError as error:
            logger.debug("Calls are ended one by one: %s", error)
            written = set()
        give_up_at = time.monotonic() + self._patience_seconds
        for begun, ending in answered:
            if begun.call_id in written:
                continue
            try:
                super()._end_answered(begun, ending, max(give_up_at - time.monotonic(), 0.0))
            except LedgerError as error:
                # The answer is here and paid for: an audit row without its end is the smaller loss.
                logger.error("Call %s was answered, and is not recorded so: %s", begun.call_id, error)


class WriteBehind(Generic[Entry]):
    """Writes the entries of many threads, many at a time and in their order, in a thread of its own.

    The thread starts with the first entry, and ends when there are no more.

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
        """Take what is waiting, after a moment for more of it unless somebody waits; none ends the thread."""

        def is_time() -> bool:
            return self._wanted > self._written or not 0 < len(self._waiting) < MOST

        with self._changed:
            self._changed.wait_for(is_time, GATHER_SECONDS)
            entries, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            self._is_running = bool(entries)
            return entries
