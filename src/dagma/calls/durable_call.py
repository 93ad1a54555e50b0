"""A call as a job: submit, follow, collect; what its errors say of the call; how it ends if nobody wants its answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagma.calls.answer import answer_or_nothing, keep_answer
from dagma.calls.call_backend import CallContext, Jobs
from dagma.calls.call_record import recording
from dagma.langflow import CallTimeout, Conflict, JobCancelled, JobLost, JobNotFound, JobSuspended, LangflowError
from dagma.ledger import Begun, LedgerError
from dagma.ledger.errors import both_ways_on

# How long a cancel may wait for the answer of a job that has ended.
COLLECTING_SECONDS = 2.0
WHY_NOT_FOUND = (
    "Langflow's retention may have removed it, or LANGFLOW_API_KEY is another user's. It may have been paid for."
)


class JobOutOfReachError(LangflowError):
    """A job can't be asked for now. It goes on: the retry finds it again, and pays for nothing twice."""

    default_fix = "Retry the run: it collects the same job."
    default_retryable = True

    @classmethod
    def of(cls, what: str, error: LangflowError) -> "JobOutOfReachError":
        """Say of what can't be asked for why that is so."""
        return cls(
            f"{what} can't be asked for: {error.cause}",
            status=error.status,
            excerpt=error.excerpt,
            retry_after=error.retry_after,
        )


class DurableCall:
    """One attempt of a call that runs as a job: one to submit, or one to find again."""

    def __init__(self, context: CallContext, jobs: Jobs, begun: Begun) -> None:
        self._context = context
        self._jobs = jobs
        self._begun = begun
        self._job_id = begun.job_id
        # Not counted from the attempt's beginning: the job may have waited for a human since.
        self._overdue_at = time.monotonic() + jobs.seconds

    def make(self) -> dict[str, Any]:
        """Get the answer of the job, submitted now or before.

        Returns:
            The raw response.

        Raises:
            LangflowError: There is no answer. The ledger knows how the call ended, unless its job may still go on.
        """
        try:
            return self._answer(self._job_id or self.submit())
        except LangflowError as error:
            judged = self._judge(error)
            if judged is error:
                raise
            raise judged from error
        except BaseException as interrupt:
            if not isinstance(interrupt, Exception):
                self._end_or_leave()
            raise

    def submit(self) -> str:
        """Submit the job, or find the one whose id nobody has recorded; return its id."""
        self._job_id = job_id = self._submitted(self._jobs)
        self._context.ledger.submitted(self._begun, job_id)
        return job_id

    def follow(self, job_id: str) -> None:
        """Tell the run's log what happens in the job, until it is over."""
        found = " again" if self._begun.state == "running" else ""
        self._context.log.info("Following job %s%s (call %s).", job_id, found, self._begun.call_id)
        for line in self._jobs.follow(job_id, self._seconds_left()):
            self._context.log.info("Job %s: %s", job_id, line)

    def _answer(self, job_id: str) -> dict[str, Any]:
        try:
            with self._context.caller.stopping_on_cancel(lambda: self._jobs.stop(job_id)):
                self.follow(job_id)
                return self._jobs.collect(job_id, self._seconds_left())
        except CallTimeout as error:
            if error.outcome == "failed" or time.monotonic() < self._overdue_at:
                raise
            if self._jobs.stop(job_id):
                raise CallTimeout(
                    f"The job {job_id} was not over after {self._jobs.seconds:g} s, and has been stopped.",
                    fix="Raise LANGFLOW_JOB_TIMEOUT_SECONDS, or shorten the flow.",
                    retryable=False,
                    outcome="failed",
                ) from error
        return self._jobs.collect(job_id, self._seconds_left())  # it has ended after all

    def _judge(self, error: LangflowError) -> LangflowError:
        """Record what an error says about the call, and return the error to raise."""
        if self._job_id is None:
            return self._judge_submit(error)
        if isinstance(error, JobSuspended):
            return JobSuspended(
                f"The job {self._job_id} waits for a human.",
                fix="Decide in Langflow, then re-execute the run from failure: it collects this job.",
            )
        with logging_what_is_missed(self._begun, self._context.log):
            if isinstance(error, JobNotFound):
                # Removed after its end, or another user's: it may have answered, and have been paid for.
                self._context.ledger.unknown(self._begun, type(error).__name__, str(error))
            elif isinstance(error, JobCancelled):
                self._context.ledger.cancelled(self._begun, usages=self._jobs.spent(self._job_id))
            elif isinstance(error, JobLost) or error.outcome == "failed":
                spent = self._jobs.spent(self._job_id) if error.outcome != "not_run" else ()
                recording().spent.extend(spent)
                self._context.ledger.fail(self._begun, type(error).__name__, str(error), usages=spent)
        if isinstance(error, JobNotFound):
            fix = f"{WHY_NOT_FOUND} {both_ways_on(self._begun.call_id)}"
            return JobNotFound(error.cause, fix=fix, status=error.status)
        if isinstance(error, JobLost | JobCancelled) or error.outcome == "failed":
            return error
        if error.retryable:
            return JobOutOfReachError.of(f"The job {self._job_id}", error)
        error.outcome = "unknown"  # the request did nothing, and the job has run or still does
        return error

    def _judge_submit(self, error: LangflowError) -> LangflowError:
        # An earlier caller's submit may have arrived: only the first one knows that there is no job.
        is_first = self._begun.state == "new"
        if is_first and error.outcome == "not_run" and not isinstance(error, Conflict):
            with logging_what_is_missed(self._begun, self._context.log):
                self._context.ledger.fail(self._begun, type(error).__name__, str(error))
            return error
        return JobOutOfReachError.of(f"The job of call {self._begun.call_id}", error)

    def _end_or_leave(self) -> None:
        """Stop the job where a user has cancelled the run; else leave it to the retry of the run."""
        try:
            if not self._context.caller.is_cancelled():
                self._context.log.warning("Interrupted: job %s continues, and a retry finds it again.", self._job_id)
                return
            self._end()
        except Exception as error:  # noqa: BLE001 (the interrupt must go on, whatever fails here)
            self._context.log.error("Interrupted: job %s may continue: %s", self._job_id, error)

    def _end(self) -> None:
        jobs = self._jobs.quick
        # The interrupt may have come before the reply to the submit: the same key gives the same job.
        self._job_id = job_id = self._job_id or self._submitted(jobs)
        if jobs.stop(job_id):
            self._context.ledger.cancelled(self._begun, usages=jobs.spent(job_id))
            self._context.log.info("Cancelled: job %s is stopped.", job_id)
            return
        # It had ended before: its answer is paid for, and a retry may want it.
        try:
            response = jobs.collect(job_id, COLLECTING_SECONDS)
        except LangflowError as error:
            self._context.log.warning("Cancelled: job %s had ended before: %s", job_id, self._judge(error))
            return
        answer = answer_or_nothing(self._context.backend.read, response)
        keep_answer(self._context.ledger, self._begun, response, answer)
        self._context.log.info("Cancelled: job %s had ended before, and its answer is kept.", job_id)

    def _submitted(self, jobs: Jobs) -> str:
        return jobs.submit(self._context.request, self._context.flow, self._begun.idempotency_key)

    def _seconds_left(self) -> float:
        # A job that is over is collected all the same.
        return max(self._overdue_at - time.monotonic(), 1.0)


@contextmanager
def logging_what_is_missed(begun: Begun, log: Any) -> Iterator[None]:
    """Tell the log what the ledger could not record, where another error has to be raised."""
    try:
        yield
    except LedgerError as missed:
        log.error("The end of call %s is not recorded: %s", begun.call_id, missed)
