"""Langflow's background jobs as durable calls."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dagma.backends.langflow.uploaded_files import uploaded
from dagma.calls.request import CallRequest, FlowReference
from dagma.langflow import CallResult, FlowEvent, LangflowClient, TokenUsage
from dagma.langflow.untrusted_json import objects, text_or_none, walk
from dagma.ledger import Usage
from dagma.wording import counted

# An agent can go round for hours: the log gets every event up to here, and then only a count now and then.
MAX_LINES = 300
COUNT_SECONDS = 5.0


class Clients(Protocol):
    """Makes clients when they are needed: settings that can't be used are then an error of the call."""

    @property
    def client(self) -> LangflowClient:
        """Patient: it waits out a Langflow that restarts."""

    @property
    def quick_client(self) -> LangflowClient:
        """Gives up within five seconds."""


@dataclass(frozen=True)
class LangflowJobs:
    """Runs calls by `/api/v2/workflows` in the mode `background`. A job may take so many seconds."""

    clients: Clients
    seconds: float
    is_quick: bool = False

    @property
    def client(self) -> LangflowClient:
        """The client for these jobs."""
        return self.clients.quick_client if self.is_quick else self.clients.client

    @property
    def quick(self) -> "LangflowJobs":
        """The same jobs, asked by the client that gives up soon."""
        return replace(self, is_quick=True)

    def submit(self, request: CallRequest, flow: FlowReference, idempotency_key: str) -> str:
        """Queue a job, or find the one of the same key."""
        uploading = uploaded(request, self.client, outlive=True) if request.files else nullcontext(request.tweaks)
        with uploading as tweaks:
            return self.client.submit(
                flow.flow_id,
                request.input_value,
                idempotency_key=idempotency_key,
                tweaks=tweaks,
                # The call's own key covers what its files hold.
                bound_tweaks=request.tweaks or {} if request.files else None,
                session_id=request.session_id,
            )

    def follow(self, job_id: str, seconds: float) -> Iterator[str]:
        """Tell which components start, finish and fail."""
        return progress_lines(self.client.follow(job_id, timeout=seconds))

    def collect(self, job_id: str, seconds: float) -> dict[str, Any]:
        """Wait for the answer, and give it in the shape of a direct run."""
        return run_response(self.client.collect(job_id, timeout=seconds))

    def stop(self, job_id: str) -> bool:
        """Stop the job."""
        return self.clients.quick_client.stop(job_id)

    def spent(self, job_id: str) -> tuple[Usage, ...]:
        """Read the tokens off the job's trace."""
        trace = self.clients.quick_client.trace(job_id)
        used = trace.usage_by_model if trace is not None else {}
        return tuple(each for model, usage in used.items() for each in usages_of(usage, model))


def progress_lines(events: Iterable[FlowEvent]) -> Iterator[str]:
    """Turn the events of a job into lines for a log, without the texts of messages, tokens and outputs."""
    tokens, lines = 0, 0
    counted_at = time.monotonic()
    for event in events:
        tokens += event.kind == "token"
        line = _line(event)
        if line is not None and lines < MAX_LINES:
            lines += 1
            yield line
        elif (tokens or line) and time.monotonic() - counted_at > COUNT_SECONDS:
            counted_at = time.monotonic()
            yield f"{counted(tokens, 'tokens')} so far{_progress(event)}"


def _line(event: FlowEvent) -> str | None:
    took = f" after {event.seconds:.2f} s" if event.seconds is not None else ""
    match event.kind:
        case "started":
            return f"the flow has started{_progress(event)}"
        case "component_started" | "component_finished" | "component_failed":
            return f"{event.component} has {event.kind.removeprefix('component_')}{took}{_progress(event)}"
        case "waiting":
            return "it waits for a human's decision in Langflow"
        case "finished":
            return f"the flow has finished{took}"
        case "failed" | "cancelled" | "timed_out" | "lost":
            return f"the flow has ended: {event.kind.replace('_', ' ')}"
    return None


def _progress(event: FlowEvent) -> str:
    return f" ({event.done} of {event.total} components)" if event.done is not None and event.total else ""


def run_response(result: CallResult) -> dict[str, Any]:
    """Write the answer of a job as `/api/v1/run` would have, so that assets see one shape whatever the mode.

    Beside it, under `job`, stands the state of the job as it came.
    """
    usage = _body_of(result.usage) if result.usage is not None else None
    usages = [{"model": model, **_body_of(used)} for model, used in result.usage_by_model.items()]
    # Once, since this is the usage of the whole job.
    properties = [{"properties": {"usage": usage, "source": {"source": result.model}}}] if usage else []
    # Where Langflow chose an answer, the texts of other components are none: theirs go the way of data.
    chosen = text_or_none(walk(result.raw, "output", "source")) if result.answer is not None else None
    outputs: list[dict[str, Any]] = []
    for component, content in result.outputs.items():
        if isinstance(content, str) and chosen in (None, component):
            message = {"text": content, **(properties.pop() if properties else {})}
            outputs.append({"component_id": component, "results": {"message": message}})
        else:
            given = {"output": {"message": content, "type": "array" if isinstance(content, list) else "data"}}
            outputs.append({"component_id": component, "results": {}, "outputs": given})
    return {
        "session_id": result.session_id,
        "outputs": [{"inputs": {}, "outputs": outputs}],
        "job": {**result.raw, "usage": usage, "model": result.model, "usages": usages, "seconds": result.seconds},
    }


def _body_of(usage: TokenUsage) -> dict[str, int | None]:
    return {"input_tokens": usage.input, "output_tokens": usage.output, "total_tokens": usage.total}


def job_of(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the state of the job in a response of `run_response`; nothing for a direct run."""
    job = response.get("job")
    return job if isinstance(job, Mapping) else {}


def usages_of_job(job: Mapping[str, Any]) -> tuple[Usage, ...]:
    """Read what each model used in a job, from what `job_of` gives; nothing where it does not tell them apart."""
    bodies = objects(job.get("usages"))
    return tuple(each for body in bodies for each in usages_of(TokenUsage.of(body), text_or_none(body.get("model"))))


def usages_of(usage: TokenUsage | None, model: str | None) -> tuple[Usage, ...]:
    """Tell the ledger what a flow used; a direct run sums up its models under the name of the first."""
    if usage is None:
        return ()
    return (Usage(model=model, input_tokens=usage.input, output_tokens=usage.output, total_tokens=usage.total),)
