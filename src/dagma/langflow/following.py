"""Following a background job while it runs, and collecting its answer."""

import json
import logging
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from dagma.backoff import Backoff
from dagma.langflow.error_responses import error_of
from dagma.langflow.errors import (
    CompletedWithoutOutput,
    JobCancelled,
    JobLost,
    JobSuspended,
    LangflowError,
    MalformedResponse,
)
from dagma.langflow.events import EventKind, EventReader, FlowEvent, frames, lines
from dagma.langflow.flow import checked_uuid, uuid_or_none
from dagma.langflow.http.transport import Request, quoting
from dagma.langflow.http.watched_http import Deadline
from dagma.langflow.jobs_api import JobsApi, JobStatus, not_over
from dagma.langflow.result import CallResult, Trace, given_data
from dagma.langflow.untrusted_json import json_object, walk
from dagma.langflow.whole_answers import check_lists, perhaps_cut, uncut

logger = logging.getLogger(__name__)

# A stream that ends within so many seconds, without an event and without a fault, is nobody's: Langflow sends a sign of
# life every 15 s. Busy, it takes a few seconds to answer at all.
_AT_ONCE = 10.0
# The last event of a job.
_OVER = ("finished", "cancelled", "timed_out", "lost")
_FIRST_POLL_SECONDS = 0.1
_SETTLING_SECONDS = 1.0
# A trace is written some 60 ms after the end of its run.
_TRACE = Backoff(first=0.1, longest=1.0)
_TRACE_LOOKS = 6
_TRACE_SECONDS = 5.0
_LONGEST_REASON = 300


class FollowingApi(JobsApi):
    """Follows background jobs, and collects their answers."""

    def follow(
        self, job_id: str, last_event_id: str | None = None, *, timeout: float | None = None
    ) -> Iterator[FlowEvent]:
        """Yield the events of a job until it is over or waits for a human; `collect` then has its answer.

        The stream is opened again where it breaks off, stalls or holds nonsense, after the last event that was read,
        as long as the job runs. While it can't be opened, the job's state is polled. Breaking off the iteration leaves
        the job running.

        Args:
            job_id: Langflow's id of the job.
            last_event_id: `id` of the last event that is known already.
            timeout: Seconds to follow; the job policy's `total` by default.

        Yields:
            The events in order, each once.

        Raises:
            JobNotFound: There is none with this id.
            JobLost: It waited in the queue for too long, or nobody runs it any more, and was stopped.
            CallTimeout: It is not over yet.
            LangflowError: Langflow can't be asked.
        """
        key = checked_uuid("job_id", job_id)
        deadline = self._job_deadline(timeout)
        queued_until = time.monotonic() + self._jobs.queued
        reader, backoff, openings = EventReader(), Backoff(_FIRST_POLL_SECONDS, self._jobs.poll), 0
        unattended_since = float("inf")
        while True:
            opened, is_news, openings = time.monotonic(), False, openings + 1
            try:
                with closing(self._frames(key, last_event_id, deadline)) as stream:
                    for data, event_id in stream:
                        if data is not None:
                            events = list(reader.read(data, event_id))
                            openings, is_news, queued_until = 1, True, float("inf")
                            last_event_id = event_id or last_event_id
                            yield from events
                            if any(event.kind in _OVER for event in events):
                                return
                        elif time.monotonic() >= queued_until:
                            break
                ended_at_once = not is_news and time.monotonic() - opened < _AT_ONCE
            except LangflowError as error:
                ended_at_once = False
                logger.debug("The events of job %s broke off: %s", key, error)
            status = self._look(key, deadline, queued_until)
            if status.over or status.state == "suspended":
                return
            is_unattended = ended_at_once and status.state == "in_progress"
            unattended_since = min(unattended_since, opened) if is_unattended else float("inf")
            if time.monotonic() - unattended_since >= self._jobs.unattended:
                # As when Langflow's database is away in the moment in which a job ends.
                self._give_up(key, "was dropped by Langflow, which called it in progress", "failed")
                unattended_since = float("inf")
            time.sleep(min(backoff.seconds(openings), deadline.remaining()))

    def _look(self, job_id: str, deadline: Deadline, queued_until: float) -> JobStatus:
        """Look at a job that is waited for; give up one that is queued for too long.

        Raises:
            JobLost: It never ran, and was stopped.
            CallTimeout: It is not over at the deadline.
        """
        status = self._patient_status(job_id, deadline)
        if status.state == "queued" and time.monotonic() >= queued_until:
            self._give_up(job_id, f"was queued for more than {self._jobs.queued:g} s", "not_run")
        if deadline.passed() and not status.over and status.state != "suspended":
            raise not_over(job_id, deadline)
        return status

    def _frames(
        self, job_id: str, last_event_id: str | None, deadline: Deadline
    ) -> Generator[tuple[str | None, str | None], None, None]:
        longest = self._transport.max_body_bytes
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        request = Request("GET", f"/api/v2/workflows/{job_id}/events", headers=headers)
        with self._transport.stream(request, deadline, read_timeout=self._jobs.stall) as reply:
            if not reply.is_ok:
                raise error_of(self._transport.read(reply), f"events of job {job_id}")
            yield from frames(lines(reply.chunks, longest=longest), longest=longest)

    def collect(self, job_id: str, *, timeout: float | None = None) -> CallResult:
        """Wait for a job and return its answer, with the tokens and times of its trace.

        Args:
            job_id: Langflow's id of the job.
            timeout: Seconds to wait; the job policy's `total` by default. The job goes on afterwards.

        Raises:
            FlowFailed: A component raised.
            JobCancelled: It was stopped.
            JobLost: It will never finish.
            JobSuspended: It waits for a human.
            CompletedWithoutOutput: It finished and has no output.
            CallTimeout: It is not over yet, or Langflow's own time limit ended it.
            LangflowError: Langflow can't be asked.
        """
        deadline = self._job_deadline(timeout)
        queued_until = time.monotonic() + self._jobs.queued
        backoff, attempt = Backoff(_FIRST_POLL_SECONDS, self._jobs.poll), 0
        while True:
            attempt += 1
            status = self._look(job_id, deadline, queued_until)
            if status.state == "suspended":
                raise JobSuspended(f"The job {job_id} waits for a human.")
            if status.over:
                return self._answer(status, deadline)
            time.sleep(min(backoff.seconds(attempt), deadline.remaining()))

    def trace(self, job_id: str) -> Trace | None:
        """Return tokens, model and times of a run, or None where Langflow keeps no trace of it.

        Args:
            job_id: Id of the run: of a job, or of the result of a direct one.
        """
        path = f"/api/v1/monitor/traces/{checked_uuid('job_id', job_id)}"
        deadline = Deadline.after(_TRACE_SECONDS)
        for look in range(1, _TRACE_LOOKS + 1):
            try:
                return Trace.of(json_object(self._send("GET", path, f"trace of job {job_id}", deadline=deadline)))
            except LangflowError as error:
                if error.status != 404 or look == _TRACE_LOOKS:
                    # The answer is there; missing figures about it are no reason to lose it.
                    logger.warning("No trace of job %s: %s", job_id, error.cause)
                    return None
            time.sleep(_TRACE.seconds(look))
        return None

    def _answer(self, status: JobStatus, deadline: Deadline) -> CallResult:
        """Return the answer of a job that is over, or raise why it has none."""
        if isinstance(status.error, JobLost):
            # Right after a stop a job says failed, without a reason, for a moment.
            time.sleep(_SETTLING_SECONDS)
            status = self._patient_status(status.job_id, deadline)
        if status.error is not None:
            raise status.error
        redactor = self._transport.redactor()
        try:
            with quoting(lambda: redactor.excerpt(json.dumps(status.raw, ensure_ascii=False))):
                if status.state == "cancelled":
                    raise JobCancelled(f"The job {status.job_id} was stopped.")
                result = CallResult.from_v2(status.raw, redactor=redactor)
        except CompletedWithoutOutput as error:
            raise self._explained(error, status.job_id) from None
        result = self._with_data(result, status.job_id)
        check_lists(result)
        return self.with_trace(self._uncut(result, status.job_id))

    def _uncut(self, result: CallResult, job_id: str) -> CallResult:
        """Return a result with its whole texts; the job's events hold them where its state has them cut."""
        if not perhaps_cut(result):
            return result
        events = self._kept_events(job_id, "message", "finished")
        # The last message may still have been growing.
        _check_ended(events, job_id)
        return uncut(result, events)

    def _with_data(self, result: CallResult, job_id: str) -> CallResult:
        """Return a result with what its outputs gave that is no text, which only the job's events hold."""
        missing = [component for component, content in result.outputs.items() if content is None]
        if not missing:
            return result
        given: dict[str, Any] = {}
        events = self._kept_events(job_id, "component_finished", "finished")
        for event in events:
            if event.component in missing and event.component not in given:
                given[event.component] = given_data(walk(event.data, "data", "build_data", "data", "outputs"))
        if len(given) < len(missing):
            _check_ended(events, job_id)
        return replace(result, outputs={**result.outputs, **given})

    def with_trace(self, result: CallResult) -> CallResult:
        """Return a result with the tokens and times of its trace, or as it is where there is none."""
        trace = self.trace(job_id) if (job_id := uuid_or_none(result.job_id or "")) else None
        if trace is None:
            return result
        return replace(
            result,
            usage=trace.usage or result.usage,
            model=trace.model or result.model,
            usage_by_model=trace.usage_by_model,
            seconds=result.seconds if trace.seconds is None else trace.seconds,
        )

    def _explained(self, error: CompletedWithoutOutput, job_id: str) -> CompletedWithoutOutput:
        """Return the error with the reason that only the job's events tell."""
        try:
            events = self._kept_events(job_id, "component_failed")
        except LangflowError as unread:
            logger.warning("The events of job %s can't be read: %s", job_id, unread)
            return error
        reason = next((event.text for event in events if event.text is not None), None)
        if reason is None:
            return error
        # Redacted before it is cut: half a secret would not be recognized.
        shown = " ".join(self._transport.redactor().text(reason).split())[:_LONGEST_REASON]
        cause = f"{error.cause.removesuffix('.')}: {shown}."
        return CompletedWithoutOutput(cause, status=error.status, excerpt=error.excerpt)

    def _kept_events(self, job_id: str, *kinds: EventKind) -> list[FlowEvent]:
        """Return the events of some kinds of a job that is over, the last first."""
        deadline = self._quick_deadline()

        def once() -> list[FlowEvent]:
            reader, events, kept = EventReader(), [], 0
            with closing(self._frames(job_id, None, deadline)) as stream:
                for data, _ in stream:
                    if data is None:
                        continue
                    wanted = [event for event in reader.read(data) if event.kind in kinds]
                    kept += len(data) if wanted else 0
                    if kept > self._transport.max_body_bytes:
                        raise MalformedResponse(f"They are larger than {self._transport.max_body_bytes} bytes.")
                    events += wanted
            return events[::-1]

        try:
            return self._retry.call(once, deadline=deadline, idempotent=True)
        except LangflowError as error:
            error.outcome = "unknown"  # only the reading may not have been sent: the job has run
            raise


def _check_ended(events: Iterable[FlowEvent], job_id: str) -> None:
    if all(event.kind != "finished" for event in events):
        raise MalformedResponse(f"The events of job {job_id} end before it did.", retryable=True)
