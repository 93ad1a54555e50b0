"""A batch: the rows of a table, each asked once, its answers written while it runs."""

import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from dagma.backends.backend import Backend
from dagma.batches.answer_table import AnswerTable
from dagma.batches.asking import Asking
from dagma.batches.batch_settings import BatchSettings
from dagma.batches.errors import BatchStopped, RowsError
from dagma.batches.output_columns import ANSWER
from dagma.batches.pace import Pace, ServerShare
from dagma.batches.progress import Progress, tell_estimate
from dagma.batches.row_calls import RowCalls
from dagma.batches.row_result import RowResult
from dagma.batches.row_sources import Rows, read_rows
from dagma.batches.row_staging import Staging
from dagma.batches.staged_rows import StagedRow, StagedRows
from dagma.batches.table_columns import RESULT_COLUMNS
from dagma.calls.request import Caller, FlowReference
from dagma.langflow.flows_api import is_refused_look_up
from dagma.ledger import LedgerError, input_hash
from dagma.ledger.grouped_ledger import GroupedLedger
from dagma.ledger.ledger_settings import ledger_from_environment
from dagma.ledger.totals import Means, recent_means, spent_in_run
from dagma.wording import counted

# Progress is told every 5 s at first, and then ever less often: under 300 times in a day.
PROGRESS_SECONDS = 5.0
PROGRESS_SHARE = 1 / 40

# Of single calls nobody is told in the run's log: a batch has many.
logger = logging.getLogger(__name__)


@dataclass
class Batch:
    """Asks the rows of a table that need it."""

    rows: Rows
    settings: BatchSettings
    _: KW_ONLY
    backend: Backend
    table: AnswerTable | None = None
    """Where answers are kept; None keeps none, and asks all rows."""
    partition: tuple[str, str] | None = None
    """The column and the value of the rows of this partition; None for all rows."""
    caller: Caller = field(default_factory=lambda: Caller.current(None))
    """Who asks: the step that makes the batch, unless it is told."""
    on_progress: Callable[[Progress], None] = lambda _: None
    """Told every few seconds how far the batch is, in the thread that reads the results."""
    progress: Progress = field(default_factory=Progress, init=False)

    def __post_init__(self) -> None:
        """Begin with nothing read and nothing asked."""
        self._ledger = ledger_from_environment()
        # With a table, the table tells which rows are asked again.
        self._batches_before = 0 if self.table else self.caller.equal_calls.number("batch without a table")
        self._pace = Pace(self.settings.concurrency)
        self._share = ServerShare(self._ledger, self.backend.identity, self._pace)
        self._over = threading.Event()
        self._generation = 0
        self._told_at = PROGRESS_SECONDS
        self._begun_at = datetime.now(UTC)
        self._row_cost: float | None = None

    def results(self, *, with_unchanged: bool = False) -> Iterator[RowResult]:
        """Run the batch.

        Args:
            with_unchanged: Yield the rows, too, that are not asked because the table has their answer.

        Yields:
            The rows, after they were written to the table.

        Raises:
            RowsError: The rows or their keys can't be used, or not one row can be asked. Nothing was sent.
            BatchStopped: A limit was reached.
            TableError: The table can't be written.
            LangflowError: No row can be asked. What was answered before is kept, as it is after each other error.
            LedgerError: The same.
        """
        if self.settings.files and not self.backend.takes_files:
            raise RowsError(
                f"The backend {self.backend.backend_name!r} takes no files. Leave files out, or ask Langflow."
            )
        flow = self._looked_up()
        with closing(StagedRows()) as staged:
            staging = Staging(self.settings, self._flow_address(), flow.version, self.partition)
            staged.add(staging.rows(read_rows(self.rows)))
            if self.partition and staging.of_others and not staged.count():
                self.caller.log.warning(
                    "No row is asked: in the column %r, none of %d rows has the partition's key %r. If there should be "
                    "some, compare what the column holds with the partitions' keys.",
                    self.partition[0],
                    staging.of_others,
                    self.partition[1],
                )
            scope = self._prepared(staging, flow)
            staged.mark(self._needed)
            self._count(staged)
            self._count_spent(scope)
            self._refuse_if_none_can_be_asked(staged)
            self._estimate(staged, flow)
            if self.table is not None and self.settings.sample is None:
                self.table.begin_refresh(self._generation)
            if with_unchanged and self.table is not None:
                yield from self._unchanged(self.table, staged)
            yield from self._ask(staged, flow, scope)
            self._finish(staged)

    def _looked_up(self) -> FlowReference:
        flow = self.backend.look_up(self._flow_address())
        if flow.look_up_error is not None and not is_refused_look_up(flow.look_up_error):
            # Without the flow's version all rows would look changed.
            raise flow.look_up_error
        return flow

    def _flow_address(self) -> str:
        address = self.settings.flow or self.backend.default_flow()
        if address is None:
            raise RowsError("There is no default flow. Set the table's flow, or LANGFLOW_DEFAULT_FLOW_ID.")
        return address

    def _prepared(self, staging: Staging, flow: FlowReference) -> str:
        """Prepare the table, and name what the keys of this batch's calls share with those of all batches after it.

        Without a table, those are the same batch of the step's other attempts: the one with as many before it.
        """
        if self.table is None:
            scope, before = self.caller.scope, self._batches_before
            return f"{scope}/batch-{before + 1}" if before else scope
        table_id, self._generation = self.table.prepare(
            staging.kinds, self.settings.output_kinds, anew=self.settings.refresh == "all"
        )
        columns = self.settings.columns
        variant = input_hash({"version": flow.version, "output": columns and columns.schema, "of": self._generation})
        partition = f"/{self.table.partition}" if self.table.partition else ""
        return f"table:{self.table.name}{partition}:{table_id}:{variant[:16]}"

    def _needed(self, rows: Mapping[str, StagedRow]) -> list[str]:
        """Say which of some rows have to be asked."""
        if self.table is None:
            return list(rows)
        known = self.table.known(rows)
        due = [key for key, row in rows.items() if key not in known or self._is_due(row, known[key])]
        self.table.keep_current((rows[key] for key in rows.keys() - set(due)), known)
        return due

    def _is_due(self, row: StagedRow, known: Mapping[str, Any]) -> bool:
        if known["error_kind"] is not None or known["generation"] < self._generation:
            return True
        return bool(known["asked"] != row.asked) and self.settings.refresh != "failed"

    def _count(self, staged: StagedRows) -> None:
        self.progress.rows = staged.count()
        self.progress.unchanged = staged.count("unchanged")
        to_ask, copied = staged.count("ask"), staged.count("equal")
        self.progress.to_ask = to_ask + copied
        if self.settings.sample is not None:
            # Of rows that ask the same, the sample asks one, and all others get its answer.
            self.progress.to_ask = min(to_ask, self.settings.sample)

    def _count_spent(self, scope: str) -> None:
        """Begin with what the attempts of the step before this one have paid."""
        run_id = self.caller.run_id
        if self.table is not None and self.caller.retry_number and run_id is not None and self.progress.to_ask:
            of_table = scope.rpartition(":")[0]
            self.progress.cost_usd = spent_in_run(self._ledger.database, run_id, of_table)

    def _refuse_if_none_can_be_asked(self, staged: StagedRows) -> None:
        """Refuse rows that all have a fault: a row may be bad, and if all are, the declaration is."""
        if self.progress.to_ask and (row := staged.first_if_all_faulty()) is not None:
            raise RowsError(
                f"None of {counted(self.progress.rows, 'rows')} can be asked. The first one has the key {row.key!r} "
                f"and the fault {row.fault_kind}: {row.fault} Nothing was sent or written. Correct the template or the "
                "rows."
            )

    def _estimate(self, staged: StagedRows, flow: FlowReference) -> None:
        """Tell what the rows will take, and refuse what will cost too much."""
        to_ask = staged.count("ask")
        rows = min(to_ask, self.settings.sample or to_ask)
        if not rows:
            return
        means = self._means(flow)
        self._row_cost, most_usd = means.cost_usd, self.settings.max_cost_usd
        if most_usd is not None and means.cost_usd is not None and means.cost_usd * rows > most_usd:
            raise BatchStopped(
                f"{counted(rows, 'rows')} will cost about {means.cost_usd * rows:.4f} USD, by the "
                f"{means.cost_usd:.6f} USD that the latest calls of the flow cost on average, and max_cost_usd is "
                f"{most_usd:g}. Nothing was sent. Raise it, or set sample to ask fewer rows."
            )
        if means.tokens is None and means.seconds is None:
            self.caller.log.info("%s rows are asked. What they will take is not known yet.", f"{rows:,}")
            return
        at_once = min(self.settings.concurrency, rows)
        told = tell_estimate(means, rows, at_once / means.seconds if means.seconds else 0.0)
        calls = counted(means.calls, "calls")
        self.caller.log.info("Estimate, by the latest %s of the flow: %s, if %d are in flight.", calls, told, at_once)

    def _means(self, flow: FlowReference) -> Means:
        try:
            return recent_means(self._ledger.database, flow.flow_id)
        except LedgerError as error:
            if self.settings.max_cost_usd is not None:
                raise
            self.caller.log.warning("There is no estimate of what the rows will take: %s", error)
            return Means(0, None, None, None)

    def _unchanged(self, table: AnswerTable, staged: StagedRows) -> Iterator[RowResult]:
        columns = self.settings.columns
        for rows in staged.unchanged():
            stored = table.known([row.key for row in rows])
            for row in rows:
                values = stored[row.key]
                yield RowResult(
                    key=row.key,
                    row=row.kept,
                    output={ANSWER: values[ANSWER]} if columns is None else columns.restored(values),
                    **{name: values[name] for name in RESULT_COLUMNS},
                )

    def _ask(self, staged: StagedRows, flow: FlowReference, scope: str) -> Iterator[RowResult]:
        # The key of a call names neither run nor step: the next batch of the table finds it, whoever runs that.
        caller = self.caller if self.table is None else replace(self.caller, step=None, partition=None)
        calls = RowCalls(
            self.backend,
            self._flow_address(),
            replace(caller, scope=scope, log=logger),
            GroupedLedger(self._ledger),
            self.settings.columns,
            self._pace,
            self._over,
            flow_version=None if self.table is None else flow.version,
        )
        asking = Asking(
            *(calls, staged, self.settings, self._pace, self.progress, self._write, self._tick, self._over),
            self._row_cost,
        )
        try:
            yield from asking.results(itertools.islice(staged.to_ask(), self.settings.sample))
        finally:
            asking.end()
            if not asking.in_flight:  # else those that go on keep their slots until the lease expires
                self._share.give_back()
        if self.settings.sample is not None:
            rows = staged.count("ask")
            self.progress.estimate = tell_estimate(asking.means, rows, self.progress.rows_per_second)

    def _write(self, results: Sequence[tuple[StagedRow, RowResult]]) -> None:
        if self.table is not None:
            self.table.write(results, self._generation)

    def _tick(self, in_flight: int, has_more: bool) -> None:
        self.caller.stop_if_cancelled()
        self._share.keep(in_flight, has_more)
        if self.progress.seconds >= self._told_at:
            self._told_at = self.progress.seconds + max(PROGRESS_SECONDS, self.progress.seconds * PROGRESS_SHARE)
            self.on_progress(self.progress)

    def _finish(self, staged: StagedRows) -> None:
        if self.table is None or self.settings.sample is not None:
            return
        self.table.end_refresh()
        drop = self.settings.vanished == "drop"
        self.progress.vanished = self.table.remove_vanished(staged.lacks, since=self._begun_at, drop=drop)
