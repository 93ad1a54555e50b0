"""A call that was sent and whose end nobody saw: find out what became of it, so that it is not paid for twice."""

import time

from dagma.backoff import Backoff
from dagma.calls.answer import answer_or_nothing, keep_answer
from dagma.calls.call_backend import Answered, CannotTell, Failed, NoAnswer, Running
from dagma.calls.call_context import CallContext
from dagma.ledger import Begun

BACKOFF = Backoff(first=0.25, longest=3.0)


class UnknownOutcome:
    """Asks the backend what became of a call, and records it.

    Args:
        context: What took part in the call.
        begun: The attempt, in the state `unknown`.
    """

    def __init__(self, context: CallContext, begun: Begun) -> None:
        self._context = context
        self._begun = begun

    def find(self, seconds: float) -> Answered | NoAnswer | CannotTell:
        """Find out how the call ended, and record it; wait for it while it goes on.

        Args:
            seconds: How long to wait at most. The backend is asked once in any case.

        Returns:
            What became of it. Only a call that nobody can tell of is still unknown in the ledger.

        Raises:
            LangflowError: The call ran and failed.
            LedgerError: What became of it is not recorded.
        """
        finding = self._finding(seconds)
        told = f"Call {self._begun.call_id} was sent before, and nobody saw its end."
        match finding:
            case Answered(response=response):
                self._context.log.info("%s Its answer was found.", told)
                answer = answer_or_nothing(self._context.backend.read, response)
                keep_answer(self._context.ledger, self._begun, response, answer)
            case Failed(error=error):
                self._context.log.info("%s It has failed.", told)
                self._context.ledger.fail(self._begun, type(error).__name__, str(error))
                raise error
            case NoAnswer(why=why):
                self._context.log.warning("%s %s It is sent again.", told, why)
                self._context.ledger.fail(self._begun, "NoAnswer", why)
        return finding

    def _finding(self, seconds: float) -> Answered | Failed | NoAnswer | CannotTell:
        deadline = time.monotonic() + seconds
        told, attempt = "", 0
        while True:
            attempt += 1
            self._context.caller.stop_if_cancelled()
            finding = self._context.backend.find_outcome(self._context.request, self._begun)
            if not isinstance(finding, Running):
                return finding
            if finding.why != told:
                self._context.log.info("Waiting for the outcome of call %s: %s", self._begun.call_id, finding.why)
                told = finding.why
            wait = BACKOFF.seconds(attempt)
            if time.monotonic() + wait > deadline:
                return CannotTell(f"{finding.why} It was waited for as long as a call may take.")
            time.sleep(wait)
