"""The ledger for the calls of a batch: begun many at a time before they are sent, and ended many at a time."""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait

from sqlalchemy import Connection

from dagma.ledger.call import Begun, Call
from dagma.ledger.errors import LedgerError
from dagma.ledger.ledger import Ledger
from dagma.ledger.state_changes import Ending, end_all

LONGEST = 100_000
"""Longer inputs and answers, in characters, are written alone: many of them would be one huge statement."""
# How long ends are gathered before they are written together: a transaction takes as long as several rows.
GATHERING_SECONDS = 0.03

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
        self._ended: list[tuple[Begun, Ending | None]] = []
        self._writing: Future[None] | None = None

    def begin_ahead(self, calls: Sequence[Call]) -> None:
        """Begin calls that are about to be made, in one transaction: `begin` finds them then.

        It decides about each that could not begin, and has the errors.
        """
        if short := [call for call in calls if len(call.input_text or "") <= LONGEST]:
            begun = self._admission.admit_new(short)
            with self._mutex:
                self._ahead |= {each.key: each for each in begun if each is not None}

    def take_back(self, seconds: float) -> None:
        """Record that what was begun ahead and not made was not sent; wait for that for some seconds at most.

        Where it fails, the next `begin` of each call finds out.
        """
        with self._mutex:
            unsent, self._ahead = self._ahead, {}
        for begun in unsent.values():
            self._write_later(begun, None)
        self.flush(seconds)

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until the end of each call that has ended is written, and tell whether it is.

        Args:
            seconds: How long to wait at most; None for as long as it takes.
        """
        with self._mutex:
            writing = self._writing
        return writing is None or not wait([writing], seconds).not_done

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
        self._write_later(begun, ending)

    def _write_later(self, begun: Begun, ending: Ending | None) -> None:
        """Write an end with all that come while others are written; none stands for a call that was not sent.

        In a thread that keeps no process alive: one that is told to end does not wait for a ledger that is away.
        """
        with self._mutex:
            self._unwritten[begun.key] = begun
            self._ended.append((begun, ending))
            if len(self._ended) == 1:
                before, self._writing = self._writing, Future()
                threading.Thread(target=self._write, args=(before, self._writing), daemon=True).start()

    def _write(self, before: Future[None] | None, writing: Future[None]) -> None:
        if before is not None:
            wait([before])
        time.sleep(GATHERING_SECONDS)
        with self._mutex:
            ended, self._ended = self._ended, []
        try:
            if unsent := [begun.call_id for begun, ending in ended if ending is None]:
                self._admission.take_back(*unsent)
            if answered := [(begun, ending) for begun, ending in ended if ending is not None]:
                self._write_answered(answered)
        except Exception:
            logger.exception("The ends of %d calls were not written.", len(ended))  # nobody waits who could be told
        finally:
            with self._mutex:
                for begun, _ in ended:
                    self._unwritten.pop(begun.key, None)
            self._presence.release(*(begun.call_id for begun, _ in ended))
            writing.set_result(None)

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
