"""The runs of a fake Langflow, in the background and direct, and what it keeps of them."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import uuid4

from dagma.testing import shapes
from dagma.testing.behaviour import (
    Behaviour,
    ComponentFailed,
    FakeAnswer,
    FakeCall,
    HumanNeeded,
    VariableMissing,
    answer_of,
)

_OVER = ("completed", "failed", "cancelled")
# As many as Langflow runs at a time.
_CONCURRENT = 5
_KEEPALIVE = ": keepalive\n\n"
_LOST = {"type": "worker_lost"}


@dataclass
class FakeJob:
    """A run of a flow.

    Args:
        id: Its id.
        flow: JSON of its flow.
        call: What was asked.
        behaviour: What the flow does.
        key: Its idempotency key.
        is_direct: Whether its caller waits for its end; else it is a background job.
    """

    id: str
    flow: dict[str, Any]
    call: FakeCall
    behaviour: Behaviour
    key: str | None = None
    is_direct: bool = False
    state: str = "queued"
    stuck: bool = False
    dropped: bool = False
    answer: FakeAnswer | None = None
    error: Any = None
    question: HumanNeeded | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def components(self) -> list[str]:
        """The ids of its flow's components, in the order in which they run."""
        return shapes.component_ids(self.flow) or ["ChatInput", "ChatOutput"]

    @property
    def output(self) -> str:
        """The id of the component that gives the answer."""
        return self.components[-1]

    @property
    def is_traced(self) -> bool:
        """Whether it has a trace, which is written at its end."""
        return self.over and self.error != _LOST

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in _OVER

    @property
    def request_id(self) -> str:
        """Id of the question that it asks."""
        return f"HumanInput:{self.id}"


class FakeJobs:
    """Runs flows, in the background on a few threads, and keeps what they told.

    Args:
        keepalive: Seconds between the signs of life in an event stream.
    """

    def __init__(self, keepalive: float) -> None:
        self.stuck = False
        self._keepalive = keepalive
        self._jobs: dict[str, FakeJob] = {}
        self._changed = threading.Condition()
        self._slots = threading.Semaphore(_CONCURRENT)

    def close(self) -> None:
        """Never run what is queued; what runs ends by itself."""
        with self._changed:
            for job in self._jobs.values():
                job.stuck = job.stuck or job.state == "queued"

    def get(self, job_id: str) -> FakeJob | None:
        """Return a job."""
        with self._changed:
            return self._jobs.get(job_id)

    def all(self) -> list[FakeJob]:
        """Return all runs."""
        with self._changed:
            return list(self._jobs.values())

    def submit(self, flow: dict[str, Any], call: FakeCall, behaviour: Behaviour, key: str | None) -> FakeJob:
        """Queue a job, or return the one whose key is the same, whatever it was asked."""
        with self._changed:
            for job in self._jobs.values():
                if key is not None and job.key == key and job.state not in ("failed", "cancelled"):
                    return job
            job = FakeJob(str(uuid4()), flow, call, behaviour, key)
            self._jobs[job.id] = job
            if not self.stuck:
                self._start(job)
            return job

    def run(self, flow: dict[str, Any], call: FakeCall, behaviour: Behaviour) -> tuple[FakeJob, Any]:
        """Run a flow while the caller waits, and return its answer, or what was raised, beside the run."""
        job = FakeJob(str(uuid4()), flow, call, behaviour, is_direct=True)
        with self._changed:
            self._jobs[job.id] = job
        return job, self._run(job)

    def forget_direct(self) -> None:
        """Forget the direct runs."""
        with self._changed:
            self._jobs = {job_id: job for job_id, job in self._jobs.items() if not job.is_direct}

    def stop(self, job: FakeJob) -> None:
        """Stop a job that has not ended."""
        with self._changed:
            if not job.over:
                job.question = None
                self._end(job, "cancelled", {"type": "cancelled"})

    def lose(self) -> None:
        """Do what a killed and restarted server does: running jobs are lost, queued ones stay so for ever."""
        with self._changed:
            # What runs holds its slot until it ends by itself.
            self._slots = threading.Semaphore(_CONCURRENT)
            self.close()
            for job in self._jobs.values():
                if job.state == "in_progress":
                    job.error = _LOST
                    self._end(job, "failed", _LOST)

    def drop(self) -> None:
        """Drop the jobs that run: nobody runs them any more, and they are called in progress for ever."""
        with self._changed:
            for job in self._jobs.values():
                job.dropped = job.dropped or job.state == "in_progress"
            self._changed.notify_all()

    def resume(self, job: FakeJob, decision: str) -> None:
        """Let a suspended job go on."""
        with self._changed:
            job.call = replace(job.call, decision=decision)
            job.state, job.question = "in_progress", None
            self._start(job)

    def stream(self, job: FakeJob, after: int) -> Iterator[str]:
        """Yield the frames of a job's events after the one of a number, until it ends or waits."""
        while True:
            with self._changed:
                if len(job.events) <= after:
                    if job.over or job.dropped or job.state == "suspended":
                        return
                    self._changed.wait(self._keepalive)
                fresh = job.events[after:]
            for event in fresh:
                after += 1
                yield f"data: {json.dumps(event)}\nid: {after}\n\n"
            if not fresh:
                yield _KEEPALIVE

    def _start(self, job: FakeJob) -> None:
        slots = self._slots

        def run() -> None:
            with slots:
                self._run(job)

        # A daemon: a flow that waits for ever does not keep the process of the tests from ending.
        threading.Thread(target=run, daemon=True).start()

    def _run(self, job: FakeJob) -> FakeAnswer | Exception | None:
        components = job.components
        first = components[0]
        with self._changed:
            if job.over or job.stuck:
                return None
            job.state = "in_progress"
            self._tell(job, "vertices_sorted", {"ids": [first], "to_run": components})
            self._tell(job, "build_start", {})
            said = shapes.user_message(job.call.input_value, job.call.session_id)
            self._say(job, "add_message", said, is_kept=_stores(job.flow, "ChatInput"))
            self._finish(job, first, components[1:2])
        outcome = _outcome(job)
        with self._changed:
            if job.over or job.dropped:
                return outcome
            match outcome:
                case HumanNeeded() if job.is_direct:
                    self._end(job, "failed")
                case HumanNeeded():
                    self._suspend(job, outcome)
                case VariableMissing():
                    self._complete_without_output(job, str(outcome))
                case ComponentFailed():
                    self._fail(job, outcome)
                case FakeAnswer():
                    self._complete(job, components, outcome)
        return outcome

    def _complete(self, job: FakeJob, components: list[str], answer: FakeAnswer) -> None:
        job.answer, last = answer, components[-1]
        for component, following in pairwise(components[1:]):
            self._finish(job, component, [following])
        source = shapes.feeder(job.flow, last)
        said = shapes.message(answer.text, job.call.session_id, source, answer)
        self._say(job, "add_message", said, is_kept=_stores(job.flow, "ChatOutput"))
        self._finish(job, last, [])
        self._tell(job, "output", {"type": "message", "content": answer.text, "component_id": last})
        self._tell(job, "end", {"build_duration": 0.001})
        self._end(job, "completed")

    def _complete_without_output(self, job: FakeJob, text: str) -> None:
        self._invalid(job, job.output, text)
        self._tell(job, "end", {"build_duration": 0.001})
        self._end(job, "completed")

    def _fail(self, job: FakeJob, failure: ComponentFailed) -> None:
        said = shapes.error_message(failure.message, failure.component)
        job.error = None if job.is_direct else said
        self._say(job, "error", said, is_kept=True)
        self._invalid(job, failure.component, failure.message)
        self._tell(job, "end", {"build_duration": 0.001})
        self._end(job, "failed")

    def _suspend(self, job: FakeJob, question: HumanNeeded) -> None:
        job.state, job.question = "suspended", question
        self._tell(job, "human_input_required", {"request_id": job.request_id, "prompt": question.prompt})

    def _finish(self, job: FakeJob, component: str, following: list[str]) -> None:
        build = {"id": component, "valid": True, "next_vertices_ids": following, "data": {"timedelta": 0.001}}
        self._tell(job, "end_vertex", {"build_data": build})

    def _invalid(self, job: FakeJob, component: str, text: str) -> None:
        params = f"Error building Component {component}: \n\n{text}"
        self._tell(job, "end_vertex", {"build_data": {"id": component, "valid": False, "params": params}})

    def _say(self, job: FakeJob, event: str, message: dict[str, Any], *, is_kept: bool) -> None:
        self._tell(job, event, message)
        if is_kept:
            kept = {
                "session_id": job.call.session_id,
                "sender": "Machine",
                **message,
                "id": str(uuid4()),
                "flow_id": job.flow["id"],
                "timestamp": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC"),
                "session_metadata": {"graph_run_id": job.id},
            }
            job.messages.append(kept)

    def _tell(self, job: FakeJob, event: str, data: dict[str, Any]) -> None:
        self._keep(job, {"event": event, "data": data})

    def _keep(self, job: FakeJob, body: dict[str, Any]) -> None:
        job.events.append(body)
        self._changed.notify_all()

    def _end(self, job: FakeJob, state: str, row: dict[str, Any] | None = None) -> None:
        job.state = state
        if row is not None:
            self._keep(job, row)
        self._changed.notify_all()


def _outcome(job: FakeJob) -> FakeAnswer | Exception:
    """Return what a flow answers, or what it raises."""
    try:
        return answer_of(job.behaviour(job.call))
    except VariableMissing as missing:
        return answer_of(missing.text) if job.is_direct else missing
    except (ComponentFailed, HumanNeeded) as raised:
        return raised
    except Exception as error:  # noqa: BLE001 (whatever a component raises fails its flow, not the server)
        return ComponentFailed(type(error).__name__, str(error))


def _stores(flow: dict[str, Any], kind: str) -> bool:
    """Whether a flow's chat input or output stores its message."""
    for node in (flow.get("data") or {}).get("nodes", []):
        template = node.get("data", {}).get("node", {}).get("template", {})
        if node.get("data", {}).get("type") == kind:
            return bool(template.get("should_store_message", {}).get("value", True))
    return False
