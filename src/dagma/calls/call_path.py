"""The one path of a call: ledger, backend, ledger. It is the same for every backend."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dagma.backoff import Backoff
from dagma.calls.answer import Answer, answer_or_nothing, keep_answer, read_answer
from dagma.calls.call_backend import (
    Answered,
    CallBackend,
    CallContext,
    CannotTell,
    Failed,
    Finding,
    NoAnswer,
    Running,
    raised,
)
from dagma.calls.call_record import CallRecord, Origin, recording, shown_error
from dagma.calls.durable_call import DurableCall
from dagma.calls.request import Caller, CallRequest, FlowNotIdentified, FlowReference
from dagma.langflow import BadRequest, JobLost, LangflowError, MalformedResponse
from dagma.ledger import (
    Begun,
    Call,
    FlowNotIdentifiedError,
    Ledger,
    LedgerError,
    OutcomeGivenUpError,
    OutcomeUnknownError,
    Usage,
    input_hash,
)
from dagma.ledger.errors import both_ways_on

# How long to wait before the backend is asked again about a call that goes on.
ASKING_BACKOFF = Backoff(first=0.25, longest=3.0)
# What JSON raises of a response that it can't hold, or that is nested some 1,000 levels deep.
UNWRITABLE = (TypeError, ValueError, RecursionError)


class CallPath:
    """The attempts of a call, until one has an answer. Nothing is recorded or sent before `answered`.

    Attributes:
        call: What the ledger is told of it.

    Raises:
        BadRequest: It can't be made so.
    """

    def __init__(
        self,
        backend: CallBackend,
        request: CallRequest,
        flow: FlowReference,
        caller: Caller,
        ledger: Ledger,
    ) -> None:
        if request.files and not backend.takes_files:
            raise BadRequest(
                f"The backend {backend.backend_name!r} takes no files.", fix="Leave files out, or ask Langflow."
            )
        self.call = _ledger_call(backend, request, flow, caller)
        self._context = CallContext(backend, request.in_its_own_session(self.call.key), flow, caller, ledger)
        self._found: set[str] = set()
        self._resends = 0

    def answered(self) -> CallRecord:
        """Have the call answered once, whoever asks however often; send it again where an attempt was lost.

        Raises:
            LangflowError: There is no answer.
            LedgerError: The call was not let in.
            DagsterExecutionInterruptedError: The run is cancelled.
        """
        while True:
            self._context.caller.stop_if_cancelled()
            try:
                record = self._attempt()
            except FlowNotIdentifiedError as error:
                raise _not_identified(error, self._context.flow) from error
            except JobLost as error:
                self._count_resend(error)
                self._context.log.warning("%s It is sent again.", error.cause)
            except OutcomeUnknownError as error:
                recording().begun.append(error.begun)
                self._find(error)
            except (LangflowError, LedgerError):
                # A step that fails would turn the end of a cancelled run into a failure.
                self._context.caller.stop_if_cancelled()
                raise
            else:
                if record is not None:
                    recording().answered.append(record)
                    # The answer is kept, and what would be made of it is not wanted any more.
                    self._context.caller.stop_if_cancelled()
                    return record

    def _attempt(self) -> CallRecord | None:
        """Make one attempt; None where it broke off, and what became of it is in the ledger now."""
        started = time.monotonic()
        attempt: Attempt | None = None
        try:
            wait_seconds = self._context.backend.policy.in_flight_seconds
            with self._context.ledger.attempt(self.call, wait_seconds=wait_seconds) as begun:
                recording().begun.append(begun)
                attempt = Attempt(self._context, begun)
                record = attempt.make()
        except LangflowError as error:
            if attempt is None or attempt.left_unknown is None:
                raise
            left = self._context.backend.outcome_seconds - (time.monotonic() - started)
            finding = self._look(attempt.left_unknown, max(left, 0.0), error)
            if isinstance(finding, CannotTell):
                error.fix = f"{error.fix} {finding.why} {both_ways_on(attempt.left_unknown.call_id)}"
                raise
            return None
        if record.begun.call_id in self._found:
            seconds = record.seconds if record.answer.seconds is None else record.answer.seconds
            return replace(record, origin="found", seconds=seconds)
        return record

    def _find(self, error: OutcomeUnknownError) -> None:
        """Find out what became of an earlier attempt, or decide what becomes of the call where nobody can."""
        finding = self._look(error.begun, self._context.backend.outcome_seconds, error)
        if not isinstance(finding, CannotTell):
            return
        match self._context.on_unknown:
            case "resend":
                self._context.log.warning("%s It is sent again, and may be paid for twice.", finding.why)
                self._context.ledger.resend(error.begun, "on_unknown is 'resend'")
            case "give_up":
                self._context.ledger.give_up(error.begun, "on_unknown is 'give_up'")
                raise OutcomeGivenUpError(error.call_id) from error
            case _:
                raise OutcomeUnknownError(error.begun, finding.why) from error

    def _look(self, begun: Begun, seconds: float, error: Exception) -> Answered | NoAnswer | CannotTell:
        """Find out how a call ended whose end nobody saw, so that it is not paid for twice; wait while it goes on.

        Only a call that nobody can tell of is still unknown in the ledger then.
        """
        context = self._context
        finding = _finding(context, begun, seconds)
        told = f"Call {begun.call_id} was sent before, and nobody saw its end."
        match finding:
            case Answered(response=response):
                context.log.info("%s Its answer was found.", told)
                keep_answer(context.ledger, begun, response, answer_or_nothing(context.backend.read, response))
                self._found.add(begun.call_id)
            case Failed(error=failure):
                context.log.info("%s It has failed.", told)
                context.ledger.fail(begun, type(failure).__name__, str(failure))
                raise failure
            case NoAnswer(why=why):
                context.log.warning("%s %s It is sent again.", told, why)
                context.ledger.fail(begun, "NoAnswer", why)
                self._count_resend(error)
        return finding

    def _count_resend(self, error: Exception) -> None:
        self._resends += 1
        if self._resends > self._context.backend.policy.resends:
            raise error


class Attempt:
    """One attempt of a call, which the ledger has let in."""

    def __init__(self, context: CallContext, begun: Begun) -> None:
        self._context = context
        self._begun = begun
        self.left_unknown: Begun | None = None
        """The attempt, once it was sent and broke off."""

    def make(self) -> CallRecord:
        """Get the answer, from wherever the ledger says that it is, and record it."""
        started = time.monotonic()
        origin: Origin = "sent"
        if self._begun.state == "answered":
            self._context.log.info("Call %s was answered before: nothing is sent.", self._begun.call_id)
            origin, response = "replayed", self._begun.raw
        elif self._begun.mode == "job":
            origin = "sent" if self._begun.state == "new" else "re-attached"
            response = self._by_job()
        else:
            response = self._directly()
        return self._settle(response, origin, started)

    def _directly(self) -> dict[str, Any]:
        try:
            return self._context.backend.answer(self._context.request)
        except LangflowError as error:
            self._record_end(error, self._context.backend.spent(error))
            raise
        except Exception as error:  # noqa: BLE001 (explained, and raised as what it means)
            explained = self._context.backend.explain(error)
            self._record_end(explained, self._context.backend.spent(error))
            # The lines that raised it, and not the exception itself, which Dagster would store with its message.
            raise shown_error(explained, error).with_traceback(error.__traceback__) from None

    def _by_job(self) -> dict[str, Any]:
        jobs = self._context.backend.jobs()
        if jobs is None:
            raise BadRequest(
                f"The call {self._begun.call_id} runs as a job, and {self._context.backend.backend_name} has none.",
                fix="Execute the run again from scratch, or retry it with the backend that it began with.",
            )
        return DurableCall(self._context, jobs, self._begun).make()

    def _settle(self, response: dict[str, Any], origin: Origin, started: float) -> CallRecord:
        try:
            answer = read_answer(self._context.backend.read, response)
        except LangflowError as error:
            self._reject(response, error)
            raise
        except Exception as error:  # noqa: BLE001 (the backend's own code, of a response of any shape)
            cause = f"What {self._context.backend.backend_name} answered can't be read: {raised(error)}."
            fix = 'Let answer() return what read() takes: {"text": "..."}, unless the backend has a read() of its own.'
            unread = shown_error(MalformedResponse(cause, fix=fix, outcome="failed"), error)
            self._reject(response, unread)
            raise unread.with_traceback(error.__traceback__) from None
        seconds = time.monotonic() - started
        if origin != "replayed":
            # The call may have begun before it was sent.
            self._finish(response, answer, seconds if origin == "sent" else None)
        return CallRecord(
            begun=self._begun,
            origin=origin,
            flow=self._context.flow,
            request=self._context.request,
            response=response,
            answer=answer,
            seconds=seconds,
            cost=self._context.ledger.prices.cost(answer.usages, self._begun.begun_at),
        )

    def _finish(self, response: dict[str, Any], answer: Answer, seconds: float | None) -> None:
        try:
            keep_answer(self._context.ledger, self._begun, response, answer, seconds)
        except LedgerError as error:
            if self._begun.mode == "job":
                raise  # the retry finds the job
            # The answer is here and paid for: an audit row without its end is the smaller loss.
            self._context.log.error("Call %s was answered, and is not recorded so: %s", self._begun.call_id, error)
        except UNWRITABLE as error:
            # Nobody could give it to a retry.
            refused = MalformedResponse(
                f"The response of {self._context.backend.backend_name} can't be written as JSON: {error}.",
                fix="Return dicts, lists, texts, numbers, booleans and None from the backend's answer().",
                outcome="failed",
            )
            self._record_end(refused)
            raise refused from error

    def _record_end(self, error: LangflowError, usages: Sequence[Usage] = ()) -> None:
        try:
            if error.outcome == "unknown":
                self.left_unknown = replace(
                    self._begun,
                    state="unknown",
                    flow_version=self._context.flow.version,
                    ended_at=datetime.now(UTC),
                    error_class=type(error).__name__,
                )
                self._context.ledger.unknown(self._begun, type(error).__name__, str(error))
            else:
                recording().spent.extend(usages)
                self._context.ledger.fail(self._begun, type(error).__name__, str(error), usages=usages)
        except LedgerError as missed:
            self._context.log.error("The end of call %s is not recorded: %s", self._begun.call_id, missed)

    def _reject(self, response: dict[str, Any], error: LangflowError) -> None:
        """Record an answer that is of no use, so that a retry sends the call anew."""
        if self._begun.state != "answered":
            try:
                self._context.ledger.finish(self._begun, raw=response)
            except UNWRITABLE:
                self._record_end(error)
                return
        self._context.ledger.reject(self._begun, str(error))


def _finding(context: CallContext, begun: Begun, seconds: float) -> Answered | Failed | NoAnswer | CannotTell:
    deadline = time.monotonic() + seconds
    told, attempt = "", 0
    while True:
        attempt += 1
        context.caller.stop_if_cancelled()
        finding: Any = context.backend.find_outcome(context.request, begun)
        if not isinstance(finding, Finding):  # a backend of one's own may forget a case
            return CannotTell(f"What {context.backend.backend_name} found out is a {type(finding).__name__}.")
        if not isinstance(finding, Running):
            return finding
        if finding.why != told:
            context.log.info("Waiting for the outcome of call %s: %s", begun.call_id, finding.why)
            told = finding.why
        wait = ASKING_BACKOFF.seconds(attempt)
        if time.monotonic() + wait > deadline:
            return CannotTell(f"{finding.why} It was waited for as long as a call may take.")
        time.sleep(wait)


def _ledger_call(backend: CallBackend, request: CallRequest, flow: FlowReference, caller: Caller) -> Call:
    call = Call(
        flow_id=flow.flow_id,
        flow_address=request.flow_id,
        flow_name=flow.endpoint_name,
        flow_title=flow.name,
        flow_looked_up=flow.look_up_error is None,
        flow_version=flow.version,
        input_hash=input_hash({**request.deciding(), "backend": backend.identity}),
        input_text=request.input_value,
        scope=caller.scope,
        mode=backend.choose_mode(request, flow),
        backend=backend.backend_name,
        session_id=request.session_id,
        run_id=caller.run_id,
        step=caller.step,
        partition=caller.partition,
        row=request.row,
        principal=caller.principal,
    )
    if request.row is not None or caller.run_id is None:
        return call  # outside of Dagster each call has a scope of its own
    before = caller.equal_calls.number(call.key)
    return replace(call, row=f"#{before + 1}") if before else call


def _not_identified(error: FlowNotIdentifiedError, flow: FlowReference) -> LangflowError:
    """Say why as well: it decides whether a retry may help."""
    failure = flow.look_up_error
    if failure is None:
        return FlowNotIdentified(str(error), fix="")
    return FlowNotIdentified(
        f"{error} The look-up failed: {failure.cause}",
        fix=failure.fix,
        status=failure.status,
        retryable=failure.retryable,
        retry_after=failure.retry_after,
    )
