"""A job that was submitted: what its errors say about its call, and how it ends once nobody wants its answer."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from dagma.calls.answer import Answer, answer_or_nothing, keep_answer
from dagma.calls.call_backend import Jobs
from dagma.calls.call_record import recording
from dagma.langflow import JobCancelled, JobLost, JobNotFound, JobSuspended, LangflowError
from dagma.ledger import Begun, Ledger, LedgerError

# How long a cancel may wait for the answer of a job that has ended.
COLLECTING_SECONDS = 2.0
# How long a stop may have taken for its tokens to be asked for: a cancelled run has ten seconds for everything.
PROMPT_SECONDS = 2.0
NOT_FOUND_FIX = (
    "Langflow's retention may have removed it, or LANGFLOW_API_KEY is another user's. It may have been paid for: "
    "re-execute the run from scratch, or set DAGMA_LEDGER_ON_UNKNOWN to 'resend' and retry."
)


class JobOutOfReachError(LangflowError):
    """A job can't be asked for now. It goes on: the retry finds it again, and pays for nothing twice.

    Attributes:
        end_or_leave: What to do where an interrupt comes before the retry. It never raises.
    """

    default_fix = "Retry the run: it collects the same job."
    default_retryable = True
    end_or_leave: Callable[[], None] = staticmethod(lambda: None)

    @classmethod
    def of(cls, what: str, error: LangflowError) -> "JobOutOfReachError":
        """Say of what can't be asked for why that is so."""
        return cls(
            f"{what} can't be asked for: {error.cause}",
            status=error.status,
            excerpt=error.excerpt,
            retry_after=error.retry_after,
        )


@dataclass(frozen=True)
class JobEnd:
    """What became of a job that was to be stopped.

    Attributes:
        told: The same for people, to be read after the job's id.
        error: Why there is no answer, where the job had ended before without one.
    """

    told: str
    error: LangflowError | None = None


class RunningJob:
    """A job whose id is known.

    Args:
        jobs: Runs it.
        job_id: The job.
        begun: What the ledger said of its call.
        ledger: Where the call is recorded.
        read: Says what a raw response means.
        log: Where to tell what could not be recorded.
    """

    def __init__(
        self,
        jobs: Jobs,
        job_id: str,
        begun: Begun,
        ledger: Ledger,
        read: Callable[[Mapping[str, Any]], Answer],
        log: Any,
    ) -> None:
        self._jobs = jobs
        self._job_id = job_id
        self._begun = begun
        self._ledger = ledger
        self._read = read
        self._log = log

    def end(self) -> JobEnd:
        """Stop the job and record that; where it has ended before, record how.

        Returns:
            What became of it.

        Raises:
            LangflowError: It may go on.
            LedgerError: Its end is not recorded.
        """
        stopping_at = time.monotonic()
        if not self._jobs.stop(self._job_id):
            return self._keep_end()
        is_prompt = time.monotonic() - stopping_at < PROMPT_SECONDS
        self._ledger.cancelled(self._begun, usages=self._jobs.spent(self._job_id) if is_prompt else ())
        return JobEnd("is stopped.")

    def judge(self, error: LangflowError) -> LangflowError:
        """Record what an error says about the call.

        Args:
            error: What asking for the job has raised.

        Returns:
            The error to raise.
        """
        if isinstance(error, JobLost):
            self._fail(error)
            return error
        if isinstance(error, JobNotFound):
            # Removed after its end, or another user's: it may have answered, and have been paid for.
            with logging_what_is_missed(self._begun, self._log):
                self._ledger.unknown(self._begun, type(error).__name__, str(error))
            return JobNotFound(error.cause, fix=NOT_FOUND_FIX, status=error.status)
        if isinstance(error, JobCancelled):
            with logging_what_is_missed(self._begun, self._log):
                self._ledger.cancelled(self._begun, usages=self._jobs.spent(self._job_id))
            return error
        if isinstance(error, JobSuspended):
            return JobSuspended(
                f"The job {self._job_id} waits for a human.",
                fix="Decide in Langflow, then re-execute the run from failure: it collects this job.",
            )
        if error.outcome == "failed":
            self._fail(error)
            return error
        if error.retryable:
            return JobOutOfReachError.of(f"The job {self._job_id}", error)
        error.outcome = "unknown"  # the request did nothing, and the job has run or still does
        return error

    def _keep_end(self) -> JobEnd:
        """Record how a job ended that can't be stopped any more: its answer is paid for, and a retry may want it."""
        try:
            response = self._jobs.collect(self._job_id, COLLECTING_SECONDS)
        except LangflowError as error:
            judged = self.judge(error)
            return JobEnd(f"had ended before: {judged}", judged)
        answer = answer_or_nothing(self._read, response)
        if not answer.usages:
            answer = replace(answer, usages=self._jobs.spent(self._job_id))
        keep_answer(self._ledger, self._begun, response, answer)
        return JobEnd("had ended before, and its answer is kept.")

    def _fail(self, error: LangflowError) -> None:
        spent = self._jobs.spent(self._job_id) if error.outcome != "not_run" else ()
        recording().spent.extend(spent)
        with logging_what_is_missed(self._begun, self._log):
            self._ledger.fail(self._begun, type(error).__name__, str(error), usages=spent)


@contextmanager
def logging_what_is_missed(begun: Begun, log: Any) -> Iterator[None]:
    """Tell the log what the ledger could not record, where another error has to be raised."""
    try:
        yield
    except LedgerError as missed:
        log.error("The end of call %s is not recorded: %s", begun.call_id, missed)
