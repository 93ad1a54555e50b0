"""Background jobs: runs that outlive the connection, the caller and its machine."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from uuid import uuid4

from dagma.backoff import Backoff
from dagma.langflow.error_responses import error_of
from dagma.langflow.errors import CallTimeout, JobLost, LangflowError, MalformedResponse, Outcome
from dagma.langflow.flow import checked_uuid, run_body
from dagma.langflow.flows_api import FlowsApi
from dagma.langflow.http.connection import RetryPolicy
from dagma.langflow.http.transport import Reply, Request, quoting
from dagma.langflow.http.watched_http import Deadline
from dagma.langflow.untrusted_json import json_object, json_objects, json_or_none, malformed, text_or_none

JobState = Literal["queued", "in_progress", "suspended", "completed", "failed", "cancelled", "timed_out"]
# Langflow takes 255 characters; the digest that binds a key to its payload has 32 and a separator.
_KEY_CHARACTERS = 255 - 33
# The outage that is waited out ends it, not a count.
_OUTAGE_RETRY = RetryPolicy(attempts=10_000, backoff=Backoff(first=0.5, longest=2.0))
# Who has waited to the end of the deadline gets to know whether the job is over.
_SHORTEST_LOOK = 3.0


@dataclass(frozen=True)
class JobStatus:
    """The state of a job.

    Args:
        job_id: Langflow's id of the job.
        state: Where it stands.
        error: Why it has no answer, if it failed or ran out of Langflow's time.
        raw: The response as it came, if it is a JSON object.
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
            error, body = error_of(reply, subject), json_or_none(reply.body)
            raw = body if isinstance(body, dict) else {}
            if error.outcome != "failed":
                raise error
            return cls(job_id=job_id, state="failed", error=error, raw=raw)
        body = json_object(reply)
        state = next((state for state in get_args(JobState) if state == body.get("status")), None)
        if state is None:
            raise malformed(reply, f"an unknown state of {subject}")
        return cls(job_id=job_id, state=state, raw=body)


@dataclass(frozen=True)
class HumanRequest:
    """A question that a suspended job asks a human.

    Args:
        job_id: The job that waits.
        request_id: Id of the question; it can be answered once.
        prompt: What to decide on.
        decisions: Ids of the actions to choose from.
    """

    job_id: str
    request_id: str
    prompt: str
    decisions: Sequence[str]

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
        )


class JobsApi(FlowsApi):
    """Submits, looks at, stops and resumes background jobs."""

    def submit(
        self,
        flow_id: str,
        input_value: str,
        *,
        idempotency_key: str | None = None,
        tweaks: Mapping[str, Any] | None = None,
        bound_tweaks: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Queue a run of a flow, or find the one that has the same key.

        Langflow returns the job of a known key whatever the payload, even another flow's. Here the key is bound to
        flow, input, tweaks and session: with any other of these it is another key. A job that failed or was cancelled
        frees its key; one that is queued, running, suspended or completed keeps it.

        Args:
            flow_id: Id or endpoint name of the flow.
            input_value: The input.
            idempotency_key: The call's key, of any length; a random one by default, which makes this call's own
                retries safe.
            tweaks: Values by field, by component id.
            bound_tweaks: What the key is bound to in place of `tweaks`, which may hold paths of files that are uploaded
                anew, and so named anew, whenever the call is repeated.
            session_id: Session whose memory the flow uses; a job suspended in the same session is cancelled.
            timeout: Seconds for this request, retries included.

        Returns:
            The job's id.

        Raises:
            LangflowError: The job is not known to be queued; submitting again with the same key is safe.
        """
        deadline = self._deadline(timeout)
        key = self._resolved(flow_id, deadline)
        body = run_body(input_value, tweaks=tweaks, session_id=session_id) | {"flow_id": key, "mode": "background"}
        self._check_tweaks(flow_id, tweaks, deadline)
        bound = body if bound_tweaks is None else {**body, "tweaks": bound_tweaks}
        body["idempotency_key"] = bound_key(idempotency_key or str(uuid4()), bound)
        reply = self._send(
            "POST",
            "/api/v2/workflows",
            f"job of flow {flow_id!r}",
            deadline=deadline,
            idempotent=True,
            payload=body,
        )
        job_id = text_or_none(json_object(reply).get("job_id"))
        if job_id is None:
            raise MalformedResponse(
                "Langflow accepted a job and gave no id of it.", status=reply.status, excerpt=reply.excerpt
            )
        return job_id

    def status(self, job_id: str) -> JobStatus:
        """Look at a job.

        Raises:
            JobNotFound: There is none with this id.
            LangflowError: Its state can't be told.
        """
        deadline = self._quick_deadline()
        return self._retry.call(lambda: self._status(job_id, deadline), deadline=deadline, idempotent=True)

    def _status(self, job_id: str, deadline: Deadline) -> JobStatus:
        key = checked_uuid("job_id", job_id)
        try:
            reply = self._transport.exchange(Request("GET", "/api/v2/workflows", params={"job_id": key}), deadline)
            return JobStatus.of(reply, key)
        except LangflowError as error:
            error.outcome = "unknown"  # only the look may not have been sent: the job may have run
            raise

    def stop(self, job_id: str) -> bool:
        """Stop a job, whatever it is doing.

        Args:
            job_id: Langflow's id of the job.

        Returns:
            Whether the job was stopped; False if it had finished before.

        Raises:
            JobNotFound: There is none with this id.
        """
        key = checked_uuid("job_id", job_id)
        reply = self._send("POST", "/api/v2/workflows/stop", f"stop of job {key}", payload={"job_id": key})
        return "already finished" not in str(json_object(reply).get("message"))

    def pending(self, flow_id: str) -> list[HumanRequest]:
        """Return the questions that the suspended jobs of a flow ask."""
        params = {"flow_id": checked_uuid("flow_id", flow_id)}
        reply = self._send("GET", "/api/v2/workflows/pending", f"pending requests of flow {flow_id!r}", params)
        with quoting(lambda: reply.excerpt):
            return [HumanRequest.of(body) for body in json_objects(reply)]

    def resume(self, request: HumanRequest, decision: str) -> None:
        """Answer a question and let its job go on.

        Args:
            request: The question, from `pending`.
            decision: Id of the chosen action.

        Raises:
            Conflict: It was answered already.
            BadRequest: The action is none of those to choose from.
            LangflowError: The job does not go on, or nothing tells that it does.
        """
        key = checked_uuid("job_id", request.job_id)
        path = f"/api/v2/workflows/{key}/resume"
        payload = {"request_id": request.request_id, "decision": {"action_id": decision}}
        # A body that is no JSON is a gateway's page, say, and the job still waits.
        json_object(self._send("POST", path, f"resumption of job {key}", payload=payload, idempotent=False))

    def _patient_status(self, job_id: str, deadline: Deadline) -> JobStatus:
        """Look at a job; wait while Langflow is down or restarts."""
        patience = deadline.at_most(Deadline.after(self._jobs.outage))

        def look() -> JobStatus:
            seconds = min(self._quick_deadline().remaining(), max(patience.remaining(), _SHORTEST_LOOK))
            return self._status(job_id, Deadline.after(seconds))

        try:
            return _OUTAGE_RETRY.call(look, deadline=patience, idempotent=True)
        except CallTimeout as error:
            if deadline.passed():
                raise not_over(job_id, deadline) from error
            raise

    def _give_up(self, job_id: str, why: str, outcome: Outcome) -> None:
        """Stop a job that will never finish, which frees its idempotency key; leave one that has finished after all.

        Raises:
            JobLost: It is stopped.
        """
        if self.stop(job_id):
            raise JobLost(f"The job {job_id} {why}, and has been stopped.", outcome=outcome)


def not_over(job_id: str, deadline: Deadline) -> CallTimeout:
    """Return the error for a job that goes on after the deadline."""
    return CallTimeout(
        f"The job {job_id} was not over after {deadline.seconds:g} s.",
        fix="Follow or collect it later by its id, which costs nothing more, or stop it.",
    )


def bound_key(key: str, body: Mapping[str, Any]) -> str:
    """Return an idempotency key that is good for one payload only, of at most 255 characters.

    Args:
        key: The caller's key.
        body: The request that it stands for.
    """
    text = json.dumps([key, body], sort_keys=True, ensure_ascii=False, default=str)
    digest = hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()[:32]
    return f"{key[:_KEY_CHARACTERS]}~{digest}"
