"""The calls of one row: sent by the one path of all calls, retried, and asked again where the answer does not fit."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dagma.backends.backend import Backend
from dagma.batches.errors import FlowChanged
from dagma.batches.json_answers import columns_of
from dagma.batches.output_columns import ANSWER, AnswerFault, OutputColumns
from dagma.batches.pace import Pace
from dagma.batches.row_result import RowResult
from dagma.batches.staged_rows import StagedRow
from dagma.calls.answer import Answer, total_of
from dagma.calls.call_path import CallPath
from dagma.calls.call_record import CallRecord, RecordedCalls, record_calls
from dagma.calls.request import Caller, CallRequest, FlowNotIdentified, FlowReference
from dagma.calls.retrying import is_free_to_retry
from dagma.langflow import (
    FlowNotFound,
    Forbidden,
    LangflowError,
    RedirectRefused,
    TLSFailure,
    Unauthorized,
)
from dagma.langflow.http.connection import telling_of_waits
from dagma.ledger import (
    AnswerExpiredError,
    CallInFlightError,
    LedgerError,
    OutcomeGivenUpError,
    OutcomeUnknownError,
)
from dagma.ledger.call import fill_in
from dagma.ledger.grouped_ledger import GroupedLedger
from dagma.ledger.texts import storable

MAX_RETRIES = 3
MAX_ASKS = 3
"""How often a row is asked whose answers do not fit its output columns."""
MOST_ERROR_CHARACTERS = 2_000
MOST_QUOTED_CHARACTERS = 4_000
OF_ALL_ROWS = (Unauthorized, Forbidden, FlowNotFound, FlowNotIdentified, TLSFailure, RedirectRefused)
OF_ONE_ROW = (AnswerExpiredError, CallInFlightError, OutcomeGivenUpError, OutcomeUnknownError)


class Abandoned(Exception):  # noqa: N818 (it says what happened)
    """Nobody waits for the row's answer any more, and no call for it is in flight."""


@dataclass(frozen=True)
class ReadyRow:
    """A row that is about to be asked, and its first call, if that has begun or can: else its thread begins it."""

    row: StagedRow
    path: CallPath | None = None


@dataclass(frozen=True)
class AskedRow:
    """A row that was asked."""

    row: StagedRow
    result: RowResult
    paid_usd: float = 0.0
    """What this batch paid for it; answers that an earlier one has paid for cost nothing."""
    unpriced: bool = False
    """Whether the cost of a call is not known."""
    sent: int = 0
    """How many calls were sent."""


@dataclass(frozen=True)
class RowCalls:
    """Makes the calls of rows, in any number of threads."""

    backend: Backend
    flow: str
    caller: Caller
    """Who asks; its scope is that of the table, and no run's."""
    ledger: GroupedLedger
    output: OutputColumns | None
    pace: Pace
    over: threading.Event
    """Set when nobody waits for answers any more."""
    flow_version: str | None
    """The only version of the flow whose answers are wanted; None for any."""

    def prepare(self, rows: Sequence[StagedRow]) -> list[ReadyRow]:
        """Begin the first calls of rows in one transaction, before threads ask them, as far as that can be."""
        if not rows:
            return []
        flow = self._current_flow()
        # Rows differ in what their fields hold and in whether they name a session, and not in which fields they have.
        sample = next((row for row in rows if row.session is not None), rows[0])
        tells_unsent = self.backend.tells_unsent(self._request(sample, sample.input, 0))
        ready = [ReadyRow(row, self._first_call(row, flow, tells_unsent)) for row in rows]
        self.ledger.begin_ahead([each.path.call for each in ready if each.path is not None])
        return ready

    def _first_call(self, row: StagedRow, flow: FlowReference, tells_unsent: bool) -> CallPath | None:
        """Prepare the first call of a row; None where it is not to begin before it is sent."""
        try:
            path = self._path(self._request(row, row.input, 0), self.caller, flow)
        except (LangflowError, LedgerError):
            return None
        return path if tells_unsent or path.call.mode == "job" else None

    def ask(self, ready: ReadyRow) -> AskedRow:
        """Ask a row, until it has an answer that fits or has failed for good.

        Raises:
            LangflowError: No row can be asked: the flow is not there, the key is wrong, the server stays away.
            LedgerError: The same: a quota leaves no room, or the ledger is away.
            Abandoned: The batch is over.
        """
        with record_calls() as made:
            return self._ask(ready, made)

    def _ask(self, ready: ReadyRow, made: RecordedCalls) -> AskedRow:
        row, question, fault = ready.row, ready.row.input, None
        for number in range(MAX_ASKS):
            try:
                record = self._call(self._request(row, question, number), None if number else ready.path)
            except (LangflowError, LedgerError) as error:
                if concerns_all_rows(error):
                    raise
                return self._asked(row, made, error_kind=type(error).__name__, error=str(error))
            try:
                output = self._read(record.answer)
            except AnswerFault as error:
                fault = error
                question = _asked_again(row.input, record.answer, error)
            else:
                return self._asked(row, made, output=output)
        # Only now, so that a batch that is killed here finds these answers, and does not pay for them again.
        for record in made.answered:
            self.ledger.reject(record.begun, f"The output columns are not in it: {fault}")
        told = _explained(fault, made.answered[-1].answer)
        return self._asked(row, made, error_kind=AnswerFault.__name__, error=told)

    def _request(self, row: StagedRow, question: str, number: int) -> CallRequest:
        return CallRequest(
            flow_id=self.flow,
            input_value=question,
            tweaks=row.tweaks,
            session_id=row.session,
            files=row.files,
            # Two questions can be equal, after two equal answers, and are two calls all the same.
            row=row.key if not number else f"{row.key} (asked again, {number})",
        )

    def _call(self, request: CallRequest, path: CallPath | None) -> CallRecord:
        """Make a call; its first attempt goes the path that is prepared, if there is one."""
        retries = expired = 0
        while True:
            self.pace.wait(self.over)
            if self.over.is_set():
                raise Abandoned
            # An answer whose raw response is not kept any more is asked for under a name of its own.
            scope = self.caller.scope if not expired else f"{self.caller.scope}+{expired}"
            try:
                if path is None:
                    path = self._path(request, replace(self.caller, scope=scope), self._current_flow())
                # A request that the server refuses is sent again within its call: the others hold back with it.
                with telling_of_waits(self.pace.slow_down):
                    return path.answered()
            except FlowChanged:
                raise
            except AnswerExpiredError:
                expired += 1
            except (LangflowError, LedgerError) as error:
                retries += 1
                asked = getattr(error, "retry_after", None)
                wait = self.backend.policy.step_backoff.seconds(retries, asked)
                is_soon = wait <= self.backend.policy.longest_retry_after_seconds
                if retries > MAX_RETRIES or not is_soon or not is_free_to_retry(error):
                    raise
                if asked is not None:
                    self.pace.slow_down(wait)
                self.over.wait(wait)
            path = None

    def _current_flow(self) -> FlowReference:
        """Look the flow up, which is kept for some seconds.

        Raises:
            FlowChanged: It is another one than that of the rows before.
        """
        flow = self.backend.look_up(self.flow)
        if self.flow_version is not None and flow.version not in (None, self.flow_version):
            raise FlowChanged(f"The flow {self.flow!r} was edited while its rows were asked.")
        return flow

    def _path(self, request: CallRequest, caller: Caller, flow: FlowReference) -> CallPath:
        return CallPath(self.backend, request, flow, caller, self.ledger)

    def _read(self, answer: Answer) -> dict[str, object]:
        return {ANSWER: storable(_said(answer))} if self.output is None else columns_of(answer, self.output)

    def _asked(
        self,
        row: StagedRow,
        made: RecordedCalls,
        *,
        output: dict[str, object] | None = None,
        error: str | None = None,
        error_kind: str | None = None,
    ) -> AskedRow:
        records = made.answered
        answered_at = datetime.now(UTC)
        usages = [*(usage for record in records for usage in record.answer.usages), *made.spent]
        costs = [self._cost(record) for record in records]
        lost = self.ledger.prices.cost(made.spent, answered_at) if made.spent else None
        of_failed = [] if lost is None else [float(lost)]
        known = [cost for cost in (*costs, *of_failed) if cost is not None]
        calls = list(dict.fromkeys(begun.call_id for begun in made.begun))
        result = RowResult(
            key=row.key,
            row=row.kept,
            output=output,
            error=error and storable(error)[:MOST_ERROR_CHARACTERS],
            error_kind=error_kind,
            attempts=max(len(calls), 1),
            call_id=calls[-1] if calls else None,
            flow_version=records[-1].flow.version if records else None,
            model=storable(", ".join(dict.fromkeys(usage.model for usage in usages if usage.model))) or None,
            tokens=total_of(usages, "total"),
            cost_usd=sum(known) if known and None not in costs else None,
            seconds=round(sum(_seconds(record) for record in records), 3) if records else None,
            answered_at=answered_at,
        )
        paid = [cost for record, cost in zip(records, costs, strict=True) if record.origin != "replayed"] + of_failed
        return AskedRow(
            row,
            result,
            paid_usd=sum(cost for cost in paid if cost is not None),
            unpriced=None in costs,
            sent=sum(record.origin != "replayed" for record in records),
        )

    def _cost(self, record: CallRecord) -> float | None:
        """Price a call, by an estimate of its tokens where they were not reported."""
        if record.cost is not None:
            return float(record.cost)
        read, written = len(record.request.input_value), len(record.answer.text or "")
        cost = self.ledger.prices.cost(fill_in(record.answer.usages, read, written), record.begun.begun_at)
        return None if cost is None else float(cost)


def concerns_all_rows(error: LangflowError | LedgerError) -> bool:
    """Whether an error says nothing of its row: each other one would meet it as well.

    That is what a wrong key, a missing flow or a full quota is, and a server that stayed away after all retries.
    """
    if isinstance(error, LedgerError):
        return not isinstance(error, OF_ONE_ROW)
    return isinstance(error, OF_ALL_ROWS) or (error.retryable and error.outcome == "not_run")


def _said(answer: Answer) -> str:
    if answer.text is not None:
        return answer.text
    return json.dumps(dict(answer.outputs), ensure_ascii=False, default=str) if answer.outputs else ""


def _asked_again(question: str, answer: Answer, fault: AnswerFault) -> str:
    return (
        f"{question}\n\nThe answer before was:\n{storable(_said(answer))[:MOST_QUOTED_CHARACTERS]}\n\n"
        f"It can't be used: {fault} Answer again, without this fault."
    )


def _explained(fault: AnswerFault | None, answer: Answer) -> str:
    return f"None of {MAX_ASKS} answers has the output columns. The last one: {fault} It was: {_said(answer)[:300]}"


def _seconds(record: CallRecord) -> float:
    return record.seconds if record.answer.seconds is None else record.answer.seconds
