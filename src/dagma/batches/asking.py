"""The loop of a batch: rows to the threads, answers to the table, and an end in time."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import dagster as dg

from dagma.batches.batch_settings import BatchSettings
from dagma.batches.errors import BatchStopped, TableError
from dagma.batches.pace import Pace
from dagma.batches.progress import Progress
from dagma.batches.row_calls import Abandoned, AskedRow, RowCalls
from dagma.batches.row_crew import Crew
from dagma.batches.row_result import RowResult
from dagma.batches.staged_rows import StagedRow, StagedRows
from dagma.langflow import LangflowError
from dagma.ledger import LedgerError
from dagma.ledger.totals import Means
from dagma.wording import counted

# How long an answer may wait to be written, and how many rows are written at a time.
WRITE_SECONDS = 0.5
WRITE_ROWS = 200
POLL_SECONDS = 0.2
# Rows begin so long before they are asked, and at most so many together: those that take longer begin one by one.
AHEAD_SECONDS = 0.5
AHEAD_ROWS = 32
# How long the end of a batch waits for a ledger that does not answer: who cancels a run does not wait longer.
END_SECONDS = 2.0

Written = tuple[StagedRow, RowResult]

logger = logging.getLogger(__name__)


@dataclass
class Asking:
    """Asks rows in threads, and writes and counts what becomes of them in the thread that reads the results."""

    calls: RowCalls
    staged: StagedRows
    settings: BatchSettings
    pace: Pace
    progress: Progress
    write: Callable[[Sequence[Written]], None]
    tick: Callable[[int, bool], None]
    """Called several times a second, with how many calls are in flight, and whether there are more rows."""
    over: threading.Event
    """Set here when no more answers are wanted."""
    row_cost: float | None
    """What a row is taken to cost until one of this batch has told, in USD; None where that is not known."""

    def __post_init__(self) -> None:
        """Begin with nothing asked."""
        self._crew = Crew(self.calls.ask)
        self._has_equal_rows = self.staged.count("equal") > 0
        self._most_cost = self.settings.max_cost_usd
        self._most_failures = self.settings.most_failures(self.progress.to_ask)
        self._unwritten: list[AskedRow] = []
        self._stopped: Exception | None = None
        self._begun_at = self._written_at = time.monotonic()
        self._asked = self._priced = 0
        self._cost = 0.0

    def results(self, rows: Iterator[StagedRow]) -> Iterator[RowResult]:
        """Ask rows.

        Yields:
            What became of them, after it was written.

        Raises:
            BatchStopped: A limit was reached, and the calls that were in flight then have ended.
            LangflowError: No row can be asked.
            LedgerError: The same.
            TableError: The table can't be written.
        """
        has_more = True
        while has_more or self._crew.given:
            self.progress.seconds = time.monotonic() - self._begun_at
            self.progress.level = self.pace.level
            self.tick(self._crew.working, has_more or self._crew.waiting > 0)
            self._crew.let_work(self.pace.level)
            has_more = has_more and self._give(rows)
            self._take()
            if self._is_time_to_write():
                yield from self._written()
        yield from self._written()
        self.progress.seconds = time.monotonic() - self._begun_at
        if self._stopped is not None:
            raise self._stopped

    def end(self) -> None:
        """Write what has arrived. Calls still in flight are left to the ledger, where the next batch finds them."""
        self.over.set()
        self._crew.dismiss()
        while self._crew.given:
            # A thread that sees the cancel raises it as well.
            with suppress(Exception, dg.DagsterExecutionInterruptedError):
                outcome = self._crew.take(0)
                if outcome is None:
                    break
                self._unwritten.append(outcome)
        try:
            if self.calls.ledger.flush(END_SECONDS):
                for _ in self._write():
                    pass
        except TableError as error:
            logger.warning("Answers were not written to the table, and the next batch finds them: %s", error)
        self.calls.ledger.take_back(END_SECONDS)

    @property
    def in_flight(self) -> int:
        """How many calls are in flight."""
        return self._crew.working

    @property
    def means(self) -> Means:
        """What a row took, of those that have an answer."""
        return Means(
            calls=self._asked,
            tokens=self.progress.tokens / self._asked if self._asked and self.progress.tokens else None,
            cost_usd=self._cost / self._priced if self._priced else None,
            seconds=None,
        )

    def _give(self, rows: Iterator[StagedRow]) -> bool:
        """Give rows to the threads, some of them ahead; tell whether there are more."""
        while self._stopped is None and not self.pace.seconds_held and (room := self._room()) > 0:
            count = self._affordable(min(self._group_size, room))
            if not count:
                if self._crew.given:
                    return True
                if next(rows, None) is not None:
                    self._stop_at_cost()
                return False
            group = list(itertools.islice(rows, count))
            if not group:
                return False
            for row in group:
                if row.fault is not None:
                    self._count(AskedRow(row, _faulty(row)))
            self._crew.give(self.calls.prepare([row for row in group if row.fault is None]))
        return self._stopped is None

    @property
    def _group_size(self) -> int:
        if self.settings.files:
            return 1  # the contents of rows that wait are in memory
        return min(max(round(self.progress.rows_per_second * AHEAD_SECONDS), 1), AHEAD_ROWS)

    def _room(self) -> int:
        """Say how many more rows may be given: for the threads that wait, or for all of them to find the next one."""
        # Threads go on with rows that wait, even if the last one was one failure too many.
        could_fail = self.progress.failed + self._crew.given + AHEAD_ROWS
        may_wait = self._most_failures is None or could_fail <= self._most_failures
        size = self._group_size
        if may_wait and self.pace.level and size > 1 and self._crew.waiting <= size // 2:
            return AHEAD_ROWS
        return self.pace.level - self._crew.given

    def _take(self) -> None:
        waits = self._crew.given or self.pace.seconds_held or not self.pace.level
        seconds = POLL_SECONDS if waits else 0
        while self._crew.given or seconds:
            try:
                outcome = self._crew.take(seconds)
            except Abandoned:
                continue
            except (LangflowError, LedgerError) as error:
                self._stop(error)
                continue
            if outcome is None:
                return
            self._count(outcome)
            seconds = 0

    def _count(self, asked: AskedRow) -> None:
        # Contents of files would stay in memory until the row is written.
        self._unwritten.append(replace(asked, row=replace(asked.row, files=None)))
        progress, result = self.progress, asked.result
        progress.cost_usd += asked.paid_usd
        progress.unpriced += asked.unpriced
        progress.tokens += result.tokens or 0
        if asked.row.fault is None:
            self._asked += 1
            progress.found += not asked.sent and result.error is None
        if result.cost_usd is not None:
            self._priced += 1
            self._cost += result.cost_usd
        if asked.sent:
            self.pace.answered()
        self._count_end(result)
        if self._most_cost is not None and asked.unpriced:
            self._stop(
                BatchStopped(
                    f"{result.model or 'The model of a call'} has no price, so max_cost_usd can't be enforced. Set "
                    "DAGMA_PRICES for the model, or leave max_cost_usd out."
                )
            )

    def _count_end(self, result: RowResult) -> None:
        progress = self.progress
        progress.done += 1
        progress.to_ask = max(progress.to_ask, progress.done)  # a sample's answers may be those of more rows
        if result.error_kind is None:
            return
        progress.failed += 1
        progress.errors[result.error_kind] += 1
        if self._most_failures is not None and progress.failed > self._most_failures:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in progress.errors.most_common())
            self._stop(
                BatchStopped(
                    f"{counted(progress.failed, 'rows')} failed ({kinds}), and max_failed allows "
                    f"{self._most_failures:,}. What was answered is kept. Look at the column error of the "
                    "table; the next materialization asks the failed rows again."
                )
            )

    def _affordable(self, rows: int) -> int:
        """Say how many of some rows can be asked, if each costs what the others did, those under way among them."""
        if self._most_cost is None:
            return rows
        left = self._most_cost - self.progress.cost_usd
        if left <= 0:
            return 0
        cost = self._cost / self._priced if self._cost else self.row_cost
        if not cost:
            return rows
        return max(min(rows, int(left / cost) - self._crew.given), 0)

    def _stop_at_cost(self) -> None:
        progress = self.progress
        self._stop(
            BatchStopped(
                f"{progress.cost_usd:.4f} USD are spent, and max_cost_usd is {self._most_cost:g}: "
                f"{counted(progress.to_ask - progress.done, 'rows')} not asked. What was answered is kept. Raise "
                "max_cost_usd, or set sample to ask a part of the rest."
            )
        )

    def _stop(self, error: Exception) -> None:
        self._stopped = self._stopped or error
        self.over.set()
        self._crew.forget_waiting()

    def _is_time_to_write(self) -> bool:
        if not self._unwritten:
            return False
        waited = time.monotonic() - self._written_at
        return waited >= WRITE_SECONDS or len(self._unwritten) >= WRITE_ROWS or not self._crew.given

    def _written(self) -> Iterator[RowResult]:
        """Write the rows that have come in, and those that ask the same, and yield them."""
        # The ledger first, so that whatever the table has is paid for there as well.
        while self._unwritten and not self.calls.ledger.flush(POLL_SECONDS):
            self.tick(self._crew.working, True)
        yield from self._write()

    def _write(self) -> Iterator[RowResult]:
        asked, self._unwritten = self._unwritten, []
        rows = iter(self._with_equal_rows(asked))
        while chunk := list(itertools.islice(rows, WRITE_ROWS)):
            self.write(chunk)
            yield from (result for _, result in chunk)
        self._written_at = time.monotonic()

    def _with_equal_rows(self, asked: Iterable[AskedRow]) -> Iterator[Written]:
        for each in asked:
            yield each.row, each.result
            if not self._has_equal_rows or each.row.asked is None:
                continue
            for row in self.staged.equal_to(each.row.asked):
                copy = replace(
                    each.result, key=row.key, row=row.kept, attempts=0, tokens=None, cost_usd=None, seconds=None
                )
                self.progress.copied += 1
                self._count_end(copy)
                yield row, copy


def _faulty(row: StagedRow) -> RowResult:
    return RowResult(
        key=row.key,
        row=row.kept,
        output=None,
        error=row.fault,
        error_kind=row.fault_kind,
        answered_at=datetime.now(UTC),
    )
