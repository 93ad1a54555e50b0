"""What the path of a call asks of a backend: an answer, durable jobs, and what became of a call that broke off."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dagma.calls.answer import Answer
from dagma.calls.call_policy import CallPolicy
from dagma.calls.request import Caller, CallRequest, FlowReference
from dagma.langflow import BadRequest, LangflowError
from dagma.ledger import Begun, Ledger, Usage
from dagma.ledger.call import Mode


@dataclass(frozen=True)
class Answered:
    """It was answered. The raw response is as near to that of a direct call as it can be had."""

    response: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Failed:
    """It ran, and has no answer, because of this error."""

    error: LangflowError


@dataclass(frozen=True)
class NoAnswer:
    """It never began, or died with its server: no answer will ever come, and it may be sent again."""

    why: str


@dataclass(frozen=True)
class Running:
    """It goes on, or can't be asked for right now: ask again."""

    why: str


@dataclass(frozen=True)
class CannotTell:
    """Nobody can know, however often they ask."""

    why: str


Finding = Answered | Failed | NoAnswer | Running | CannotTell
"""What a backend can say of a call that was sent and whose end nobody saw; `why` is one sentence."""


class Jobs(Protocol):
    """Runs calls as jobs, which outlive their caller: they are found again by id, and by key until the id is known."""

    @property
    def seconds(self) -> float:
        """How long a job may take before it is stopped, counted anew by each caller that finds it again."""

    @property
    def quick(self) -> "Jobs":
        """The same jobs for a caller in a hurry: nothing is waited for longer than some five seconds."""

    def submit(self, request: CallRequest, flow: FlowReference, idempotency_key: str) -> str:
        """Start a job, or find the one that was started under the same key; return its id.

        Raises:
            LangflowError: It is not known to have started; doing it again with the same key is safe.
        """

    def follow(self, job_id: str, seconds: float) -> Iterator[str]:
        """Tell what happens in a job, until it is over, waits for a human, or so many seconds have passed.

        Yields:
            Lines for the run's log, which hold no texts of inputs or answers.
        """

    def collect(self, job_id: str, seconds: float) -> dict[str, Any]:
        """Wait for a job's end, at most so many seconds; return the raw response in the shape of a direct call.

        Raises:
            LangflowError: There is no answer, or not yet.
        """

    def stop(self, job_id: str) -> bool:
        """Stop a job, within five seconds; return False if it had ended before.

        Raises:
            LangflowError: It may go on.
        """

    def spent(self, job_id: str) -> tuple[Usage, ...]:
        """Tell what a job without an answer used all the same; nothing where that is not known. Never raises."""


class BackendError(LangflowError):
    """A backend raised an error of its own kind instead of answering."""

    default_fix = "Look at the backend's code and at the service that it asks."


def raised(error: Exception) -> str:
    """Name an exception with what it says, for the end of a sentence."""
    said = str(error).strip().rstrip(".")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class CallBackend(ABC):
    """What a backend does for the path of a call: `dagma.Backend` without its `run_flow`.

    Errors are `dagma.langflow.LangflowError`s, which say whether a retry may help, and whether the call may have to be
    paid already. What else `answer` raises goes through `explain`.
    """

    policy: CallPolicy

    @abstractmethod
    def answer(self, request: CallRequest) -> dict[str, Any]:
        """Send the call and wait for its answer.

        Returns:
            The raw response, of types that JSON has: `{"text": ...}`, or another shape with a `read` of its own.
        """

    def read(self, response: Mapping[str, Any]) -> Answer:
        """Say what a raw response means. Override it where the response is not `{"text": ...}`.

        Raises:
            LangflowError: The response holds no answer. A retry then sends the call anew.
        """
        return Answer.from_response(response)

    def explain(self, error: Exception) -> LangflowError:
        """Say what an exception of `answer` means. Override it where you know whether the call may have been paid.

        The outcome "unknown", as here, keeps a retry from sending the call again.
        """
        return BackendError(f"The backend raised {raised(error)}.", outcome="unknown")

    def spent(self, error: Exception) -> tuple[Usage, ...]:  # noqa: ARG002 (for those who override)
        """Tell what a call used that ended with an exception of `answer`. Override it where that is known."""
        return ()

    def find_outcome(self, request: CallRequest, begun: Begun) -> Finding:  # noqa: ARG002 (for those who override)
        """Find out what became of a direct call that was sent and whose end nobody saw. It must not raise.

        Override it where the server can be asked. Without it such a call fails, since sending it again may pay twice.
        The request has the session that it was asked in.
        """
        return CannotTell(f"{self.backend_name} can't be asked what became of it.")

    def tells_unsent(self, request: CallRequest) -> bool:  # noqa: ARG002 (for those who override)
        """Say whether `find_outcome` tells a direct call that was never sent from one whose answer was lost.

        A batch then begins such calls in the ledger many at a time, a moment before they are sent. It must not raise.
        """
        return False

    @property
    def takes_files(self) -> bool:
        """Whether `answer` hands `request.files` to the flow. Override it if yours does."""
        return False

    @property
    def outcome_seconds(self) -> float:
        """How long `find_outcome` is asked again while a call goes on, in seconds."""
        return 0.0

    def default_flow(self) -> str | None:
        """Name the flow for calls that name none; None where nothing is configured to answer them."""
        return None

    def look_up(self, flow_id: str) -> FlowReference:
        """Tell a flow's id, name, version and page before it is called. Override it to ask; it must not raise."""
        return FlowReference(flow_id)

    def jobs(self) -> Jobs | None:
        """Give what runs calls as durable jobs. Override it where the backend has such."""
        return None

    def choose_mode(self, request: CallRequest, flow: FlowReference) -> Mode:  # noqa: ARG002 (for those who override)
        """Choose how a call is sent. Override it where the backend has jobs.

        Raises:
            BadRequest: The request asks for what the backend does not have.
        """
        if request.mode == "job":
            raise BadRequest(f"{self.backend_name} has no jobs.", fix="Set the mode to auto or direct.")
        return "direct"

    @property
    def backend_name(self) -> str:
        """What the ledger calls this backend."""
        return type(self).__name__

    @property
    def identity(self) -> str:
        """What tells this backend from others that may answer the same call otherwise. It is part of a call's key.

        Override it where two backends of the class can differ, and leave out what a retry may find changed, such as
        keys and time-outs.
        """
        return f"{type(self).__module__}:{type(self).__qualname__}"


@dataclass(frozen=True)
class CallContext:
    """What takes part in a call. The request has its session, and the flow was looked up."""

    backend: CallBackend
    request: CallRequest
    flow: FlowReference
    caller: Caller
    ledger: Ledger

    @property
    def on_unknown(self) -> str:
        """What to do if what became of an attempt can't be found out: by the call, its backend or the ledger."""
        chosen = self.request.on_unknown or self.backend.policy.on_unknown
        return self.ledger.on_unknown if chosen == "as_ledger" else chosen

    @property
    def log(self) -> Any:
        """Where people are told what happens."""
        return self.caller.log
