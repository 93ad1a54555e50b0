"""A call as a job: submit, follow, collect; and what becomes of the job when its caller is interrupted."""

import time
from typing import Any

from dagma.calls.call_backend import Jobs
from dagma.calls.call_context import CallContext
from dagma.calls.running_job import JobOutOfReachError, RunningJob, logging_what_is_missed
from dagma.langflow import CallTimeout, Conflict, LangflowError
from dagma.ledger import Begun


class DurableCall:
    """One attempt of a call that runs as a job.

    Args:
        context: What takes part in the call.
        jobs: Runs jobs.
        begun: What the ledger said: a job to submit, or one to find again.
    """

    def __init__(self, context: CallContext, jobs: Jobs, begun: Begun) -> None:
        self._context = context
        self._jobs = jobs
        self._begun = begun
        self._job_id = begun.job_id
        self._may_have_job = begun.state != "new"
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
            if isinstance(judged, JobOutOfReachError) and self._context.caller.sees_cancel():
                self._end_or_leave()
            if judged is error:
                raise
            raise judged from error
        except BaseException as interrupt:
            if not isinstance(interrupt, Exception):
                self._end_or_leave()
            raise

    def submit(self) -> str:
        """Submit the job, or find the one whose id nobody has recorded; return its id."""
        self._may_have_job = True
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
            if error.outcome == "failed" or not self._is_overdue():
                raise
            self._stop_overdue(job_id)
        return self._jobs.collect(job_id, self._seconds_left())

    def _stop_overdue(self, job_id: str) -> None:
        """Stop the job, unless it has ended after all."""
        if self._jobs.stop(job_id):
            raise CallTimeout(
                f"The job {job_id} was not over after {self._jobs.seconds:g} s, and has been stopped.",
                fix="Raise LANGFLOW_JOB_TIMEOUT_SECONDS, or shorten the flow.",
                retryable=False,
                outcome="failed",
            )

    def _judge(self, error: LangflowError) -> LangflowError:
        """Record what an error says about the call, and return the error to raise."""
        if self._job_id is not None:
            judged = self._running(self._jobs, self._job_id).judge(error)
        else:
            judged = self._judge_submit(error)
        if isinstance(judged, JobOutOfReachError):
            judged.end_or_leave = self._end_or_leave
        return judged

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
                self._context.log.warning("Interrupted: job %s goes on, and a retry finds it again.", self._job_id)
                return
            if self._may_have_job:
                self._end(self._jobs.quick)
            else:
                self._context.ledger.cancelled(self._begun)
        except Exception as error:  # noqa: BLE001 (the interrupt must go on, whatever fails here)
            self._context.log.error("Interrupted: job %s may go on: %s", self._job_id, error)

    def _end(self, jobs: Jobs) -> None:
        # The interrupt may have come before the reply to the submit: the same key gives the same job.
        self._job_id = self._job_id or self._submitted(jobs)
        ending = self._running(jobs, self._job_id).end()
        tell = self._context.log.warning if ending.error else self._context.log.info
        tell("Cancelled: job %s %s", self._job_id, ending.told)

    def _submitted(self, jobs: Jobs) -> str:
        return jobs.submit(self._context.request, self._context.flow, self._begun.idempotency_key)

    def _running(self, jobs: Jobs, job_id: str) -> RunningJob:
        return RunningJob(
            jobs, job_id, self._begun, self._context.ledger, self._context.backend.read, self._context.log
        )

    def _seconds_left(self) -> float:
        # A job that is over is collected all the same.
        return max(self._overdue_at - time.monotonic(), 1.0)

    def _is_overdue(self) -> bool:
        return time.monotonic() >= self._overdue_at
