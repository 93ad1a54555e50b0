"""What became of direct calls of Langflow that were sent and whose end nobody saw.

A call is looked for by its session. What Langflow tells of its run decides: its answer is taken, one that goes on is
waited for, and one that died with its Langflow is known to have no answer. A call of which Langflow knows no run is
taken as never begun only where its flow would have stored the user's message, and all is ruled out that could hide it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from dagma.backends.langflow.langflow_jobs import Clients, run_response
from dagma.calls.call_backend import Answered, CannotTell, Failed, Finding, NoAnswer, Running
from dagma.calls.request import OWN_SESSION, CallRequest, own_session
from dagma.langflow import Flow, LangflowError, PastRun
from dagma.langflow.untrusted_json import objects, walk
from dagma.ledger import Begun

# How far the clocks of Langflow and of the ledger may be apart: what began earlier is another attempt's.
CLOCK_SKEW = timedelta(seconds=1)
# How long Langflow has to have answered without a gap until a request that it had got before must have begun: its flow
# is read and its graph is built before the first component stores a message.
SETTLING_SECONDS = 15.0
# How slow an answer may be to count as one without a gap.
PROMPT_SECONDS = 3.0
# Until when a run of the flow is evidence that this Langflow is the one that was asked.
EVIDENCE = timedelta(seconds=60)


class Answering:
    """Since when Langflow has answered this process without a gap."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._lock = threading.Lock()

    def asked(self, ask: Callable[[], Any]) -> Any:
        """Ask Langflow something, and note whether it answered in good time."""
        started = time.monotonic()
        try:
            answer = ask()
        except BaseException:
            self._note(None)
            raise
        now = time.monotonic()
        self._note(now if now - started <= PROMPT_SECONDS else None)
        return answer

    def seconds(self) -> float:
        """For how long it has, in seconds."""
        with self._lock:
            return 0.0 if self._since is None else time.monotonic() - self._since

    def _note(self, answered_at: float | None) -> None:
        with self._lock:
            self._since = None if answered_at is None else self._since or answered_at


@dataclass(frozen=True)
class LangflowOutcomes:
    """Finds out what became of direct calls."""

    clients: Clients
    answering: Answering = field(default_factory=Answering)

    def find(self, request: CallRequest, begun: Begun) -> Finding:
        """Say what became of a call, as far as it can be told now."""
        if begun.mode != "direct":
            return CannotTell(f"Langflow does not know its job {begun.job_id} any more.")
        try:
            return self._find(request, begun)
        except LangflowError as error:
            asked = f"Langflow can't be asked what became of it: {error.cause}"
            return Running(asked) if error.retryable else CannotTell(asked)

    def tells_unsent(self, request: CallRequest) -> bool:
        """Say whether a call that Langflow never got could be told from others. Its own session is still None."""
        try:
            return request.session_id is None and _stores_input(self._flow_of(request), request)
        except LangflowError:
            return False

    def _flow_of(self, request: CallRequest) -> Flow:
        return self.clients.quick_client.recent_flow(request.flow_id)

    def _find(self, request: CallRequest, begun: Begun) -> Finding:
        flow = self._flow_of(request)
        session = str(request.session_id)
        is_own = session == own_session(begun.key)
        runs = self.answering.asked(lambda: self.clients.quick_client.past_runs(session, flow_id=flow.id))
        mine = _of_attempt(runs, request, begun, is_own=is_own)
        if not is_own and len(mine) > 1:
            return CannotTell(f"Its caller named the session {session!r}, which has {len(mine)} such calls.")
        if mine:
            return self._told_by(min(mine, key=lambda run: _ORDER.index(run.state)))
        if not is_own:
            return Running(f"Langflow knows no run of it in the session {session!r}, which its caller named.")
        if any(run.state not in ("failed", "lost") for run in runs):
            return CannotTell("Its session has several runs, and nothing tells which attempts they belong to.")
        return self._without_a_run(request, flow, begun)

    def _told_by(self, run: PastRun) -> Finding:
        match run.state:
            case "completed" | "failed":
                return self._answer(run)
            case "running":
                return Running("It still runs in Langflow.")
            case "lost":
                return NoAnswer("The Langflow that ran it died before it answered.")
        return CannotTell("Langflow has messages or a trace of it, but no longer says how it ended.")

    def _answer(self, run: PastRun) -> Finding:
        try:
            response = run_response(self.clients.client.past_answer(run))
        except LangflowError as error:
            if error.outcome == "failed":
                return Failed(error)
            if error.retryable:
                raise
            return CannotTell(f"It has ended: {error.cause}")
        return Answered({**response, "rebuilt": "from what Langflow keeps of the run"})

    def _without_a_run(self, request: CallRequest, flow: Flow, begun: Begun) -> Finding:
        """Say of a call of which Langflow knows nothing that it never began, or why that can't be known."""
        if not _stores_input(flow, request):
            return Running("The flow stores no message before it ends, so nothing tells whether it runs.")
        if begun.flow_version != flow.version:
            return CannotTell("Langflow knows no run of it, and the flow has changed since.")
        if begun.error_class == "CallTimeout":
            return CannotTell("Langflow had its request for as long as a call may take, and knows no run of it.")
        if self.answering.seconds() < SETTLING_SECONDS:
            return Running("Langflow knows no run of it yet.")
        until = min(begun.ended_at or begun.begun_at, begun.begun_at + EVIDENCE)
        if not self.clients.quick_client.stored_before(flow.id, until, session_prefix=OWN_SESSION):
            return CannotTell(
                "Langflow knows no run of it, and no earlier call of the flow: it may not be the Langflow that was "
                "asked, or it keeps no messages."
            )
        return NoAnswer("It never began: Langflow knows no run of it.")


# What to go by where a session holds several runs of a call.
_ORDER = ("completed", "running", "gone", "failed", "lost")


def _of_attempt(runs: Sequence[PastRun], request: CallRequest, begun: Begun, *, is_own: bool) -> list[PastRun]:
    """Choose the runs of this attempt: others of its session are of an earlier one, or of somebody else's call."""
    if is_own and begun.attempt == 1:
        return list(runs)
    since = begun.begun_at - CLOCK_SKEW
    recent = [run for run in runs if run.began_at is not None and run.began_at >= since]
    return recent if is_own else [run for run in recent if run.asked == request.input_value]


def _stores_input(flow: Flow, request: CallRequest) -> bool:
    """Whether a flow stores the user's message when it begins."""
    if any("should_store_message" in values for values in (request.tweaks or {}).values()):
        return False
    nodes = objects(walk(flow.raw, "data", "nodes"))
    inputs = [node for node in nodes if walk(node, "data", "type") == "ChatInput"]
    stores = [walk(node, "data", "node", "template", "should_store_message") for node in inputs]
    return bool(stores) and all(walk(each, "value") is True and not walk(each, "load_from_db") for each in stores)
