"""A background job of Langflow: its state, its waits for a human, and how patiently it is watched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from dagma.langflow.error_responses import error_of
from dagma.langflow.errors import CallTimeout, FlowFailed, JobLost, LangflowError, MalformedResponse
from dagma.langflow.http.transport import Reply
from dagma.langflow.untrusted_json import json_object, malformed, text_or_none

JobState = Literal["queued", "in_progress", "suspended", "completed", "failed", "cancelled", "timed_out"]


@dataclass(frozen=True)
class JobPolicy:
    """How patiently a job is watched, in seconds.

    Args:
        total: Longest time to follow or collect a job, unless a call says otherwise.
        queued: Longest time in the queue. After a crash Langflow keeps queued jobs `queued` for ever, so a job that
            waits longer is stopped, which frees its idempotency key.
        outage: Longest time without an answer from Langflow; a restart takes it a minute.
        stall: Longest silence of the event stream before it is opened anew; Langflow sends a sign every 15 s.
        unattended: Longest time in which a job that is said to run has an event stream that ends as soon as it is
            opened. Where Langflow can't reach its database in the moment in which a job ends, it drops the job and
            leaves it `in_progress` for ever; it is stopped then, which frees its idempotency key.
        poll: Longest wait between two looks at a job's state.
    """

    total: float = 3600.0
    queued: float = 600.0
    outage: float = 180.0
    stall: float = 60.0
    unattended: float = 60.0
    poll: float = 2.0

    def __post_init__(self) -> None:
        for name in ("total", "queued", "outage", "stall", "unattended", "poll"):
            if not getattr(self, name) > 0:
                raise ValueError(f"The job policy's {name!r} must be above 0 seconds.")


@dataclass(frozen=True)
class JobStatus:
    """The state of a job.

    Args:
        job_id: Langflow's id of the job.
        state: Where it stands.
        error: Why it has no answer, if it failed or ran out of Langflow's time.
        raw: The response as it came.
    """

    job_id: str
    state: JobState
    error: LangflowError | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state not in ("queued", "in_progress", "suspended")

    @classmethod
    def of(cls, reply: Reply, job_id: str) -> "JobStatus":
        """Read the response to a look at a job, where a failed job is a 500 and one out of time a 408.

        Raises:
            LangflowError: The job's state can't be told.
        """
        subject = f"job {job_id}"
        if not reply.is_ok:
            error = error_of(reply, subject)
            if isinstance(error, FlowFailed | JobLost):
                return cls(job_id=job_id, state="failed", error=error)
            if isinstance(error, CallTimeout) and error.outcome == "failed":
                return cls(job_id=job_id, state="timed_out", error=error)
            raise error
        body = json_object(reply)
        state = next((state for state in get_args(JobState) if state == body.get("status")), None)
        if state is None:
            raise malformed(reply, f"an unknown state of {subject}")
        if str(body.get("job_id")) != job_id:
            raise malformed(reply, f"another job than {subject}")
        return cls(job_id=job_id, state=state, raw=body)


@dataclass(frozen=True)
class HumanRequest:
    """A question that a suspended job asks a human.

    Args:
        job_id: The job that waits.
        request_id: Id of the question; it can be answered once.
        prompt: What to decide on.
        decisions: Ids of the actions to choose from.
        session_id: Session of the job.
        raw: The request as it came.
    """

    job_id: str
    request_id: str
    prompt: str
    decisions: Sequence[str]
    session_id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "HumanRequest":
        """Read a pending request's JSON.

        Raises:
            MalformedResponse: It names no job or no request.
        """
        job_id, request_id = text_or_none(body.get("job_id")), text_or_none(body.get("request_id"))
        if job_id is None or request_id is None:
            raise MalformedResponse("Langflow sent a pending request without a job or an id.", status=200)
        allowed = body.get("allowed_decisions")
        decisions = allowed if isinstance(allowed, list) else []
        return cls(
            job_id=job_id,
            request_id=request_id,
            prompt=text_or_none(body.get("prompt")) or "",
            decisions=tuple(each for each in decisions if isinstance(each, str)),
            session_id=text_or_none(body.get("session_id")),
            raw=body,
        )
