"""Following a background job while it runs."""

import logging
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from dagma.backoff import Backoff
from dagma.langflow.error_responses import error_of
from dagma.langflow.errors import LangflowError
from dagma.langflow.events import EventReader, FlowEvent, Frame, frames, lines
from dagma.langflow.flow import checked_uuid
from dagma.langflow.http.transport import Request
from dagma.langflow.http.watched_http import Deadline
from dagma.langflow.job_state import JobStatus
from dagma.langflow.jobs_api import JobsApi, not_over

logger = logging.getLogger(__name__)

_FIRST_REOPENING_SECONDS = 0.1
# A stream that ends within so many seconds, without an event and without a fault, is nobody's: Langflow sends a sign of
# life every 15 s. Busy, it takes a few seconds to answer at all.
_AT_ONCE = 10.0
_REPLAYS = 2
# The last event of a job that is over, and of one that is over or waits.
_OVER = ("finished", "cancelled", "timed_out", "lost")
_ENDS = (*_OVER, "waiting")


class FollowingApi(JobsApi):
    """Follows background jobs."""

    def follow(
        self, job_id: str, last_event_id: str | None = None, *, timeout: float | None = None
    ) -> Iterator[FlowEvent]:
        """Yield the events of a job until it is over or waits for a human; `collect` then has its answer.

        The stream is opened again where it breaks off, stalls or holds nonsense, after the last event that was read.
        While it can't be opened, the job's state is polled. Breaking off the iteration leaves the job running.

        Args:
            job_id: Langflow's id of the job.
            last_event_id: `id` of the last event that is known already.
            timeout: Seconds to follow; the job policy's `total` by default.

        Yields:
            The events in order, each once. Where several came in one frame, resuming after one tells them all again.

        Raises:
            JobNotFound: There is none with this id.
            JobLost: It waited in the queue for too long, or nobody runs it any more, and was stopped.
            CallTimeout: It is not over yet.
            LangflowError: Langflow can't be asked.
        """
        key = checked_uuid("job_id", job_id)
        deadline = self._job_deadline(timeout)
        queued_until = time.monotonic() + self._jobs.queued
        reader, backoff, openings = EventReader(), Backoff(_FIRST_REOPENING_SECONDS, self._jobs.poll), 0
        told_its_end, is_over, replays = False, False, _REPLAYS
        unattended_since = float("inf")
        while True:
            opened, is_news, openings = time.monotonic(), False, openings + 1
            silence = max(min(self._jobs.stall, queued_until - time.monotonic()), 0.1)
            try:
                with closing(self._frames(key, last_event_id, deadline, silence)) as stream:
                    for data, event_id in _told(stream, queued_until):
                        events = list(reader.read(data, event_id, last_event_id))
                        queued_until = float("inf")
                        if _known(events, event_id, last_event_id):
                            continue
                        # Only what is new shows that opening the stream again is of use.
                        openings, is_news = 1, True
                        last_event_id = event_id or last_event_id
                        told_its_end = told_its_end or any(event.kind in _ENDS for event in events)
                        is_over = any(event.kind in _OVER for event in events)
                        yield from events
                ended_at_once = not is_news and time.monotonic() - opened < _AT_ONCE
            except LangflowError as error:
                ended_at_once = False
                logger.debug("The events of job %s broke off: %s", key, error)
            if is_over:
                return
            status = self._patient_status(key, deadline)
            if status.over or status.state == "suspended":
                # The stream may have broken off before its end; Langflow keeps the events of jobs that are over.
                if told_its_end or not replays:
                    return
                replays -= 1
            queued_until = self._latest_start(status, queued_until)
            is_unattended = ended_at_once and status.state == "in_progress"
            unattended_since = min(unattended_since, opened) if is_unattended else float("inf")
            if time.monotonic() - unattended_since >= self._jobs.unattended:
                self._give_up_unattended(key)
                unattended_since = float("inf")
            if deadline.passed():
                raise not_over(key, deadline)
            time.sleep(min(backoff.seconds(openings), deadline.remaining()))

    def _latest_start(self, status: JobStatus, queued_until: float) -> float:
        """Return until when a job may be queued; give up one that is for longer."""
        if status.state == "queued" and time.monotonic() >= queued_until:
            self._give_up_queued(status.job_id)
        return float("inf") if status.state == "in_progress" else queued_until

    def _frames(
        self, job_id: str, last_event_id: str | None, deadline: Deadline, silence: float
    ) -> Generator[Frame, None, None]:
        longest = self._transport.max_body_bytes
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        request = Request("GET", f"/api/v2/workflows/{job_id}/events", headers=headers)
        with self._transport.stream(request, deadline, read_timeout=silence) as reply:
            if not reply.is_ok:
                raise error_of(self._transport.read(reply), f"events of job {job_id}")
            yield from frames(lines(reply.chunks, longest=longest), longest=longest)


def _told(stream: Iterable[Frame], latest_start: float) -> Iterator[tuple[str, str | None]]:
    """Yield data and id of the frames that have data, unless none but comments have come until a moment."""
    for frame in stream:
        if frame.data is not None:
            latest_start = float("inf")
            yield frame.data, frame.id
        elif time.monotonic() >= latest_start:
            return


def _known(events: Iterable[FlowEvent], event_id: str | None, last_event_id: str | None) -> bool:
    """Return whether the events of a frame were read before; a server that ignores Last-Event-ID replays all."""
    if event_id is None or last_event_id is None or not (event_id.isdecimal() and last_event_id.isdecimal()):
        return False
    # Tokens and logs are not kept, and bear the id of the last event that is.
    fleeting = any(event.kind == "token" or event.data.get("event") == "log" for event in events)
    return int(event_id) < int(last_event_id) or (event_id == last_event_id and not fleeting)
