"""What the path of a call asks of a backend: an answer, durable jobs, and what became of a call that broke off."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dagma.calls.answer import Answer
from dagma.calls.call_policy import CallPolicy
from dagma.calls.request import CallRequest, FlowReference
from dagma.langflow import LangflowError
from dagma.ledger import Begun, Usage
from dagma.ledger.call import Mode


@dataclass(frozen=True)
class Answered:
    """It was answered.

    Attributes:
        response: The raw response, as near to that of a direct call as it can be had.
    """

    response: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Failed:
    """It ran, and has no answer.

    Attributes:
        error: Why.
    """

    error: LangflowError


@dataclass(frozen=True)
class NoAnswer:
    """It never began, or died with its server: no answer will ever come, and it may be sent again.

    Attributes:
        why: How that is known, in one sentence.
    """

    why: str


@dataclass(frozen=True)
class Running:
    """It goes on, or can't be asked for right now: ask again.

    Attributes:
        why: Which of these, in one sentence.
    """

    why: str


@dataclass(frozen=True)
class CannotTell:
    """Nobody can know, however often they ask.

    Attributes:
        why: Why not, in one sentence.
    """

    why: str


Finding = Answered | Failed | NoAnswer | Running | CannotTell
"""What a backend can say of a call that was sent and whose end nobody saw."""


class Jobs(Protocol):
    """Runs calls as jobs, which outlive their caller: they are found again by id, and by key until the id is known."""

    @property
    def seconds(self) -> float:
        """How long a job may take before it is stopped, counted anew by each caller that finds it again."""

    @property
    def quick(self) -> "Jobs":
        """The same jobs for a caller in a hurry: nothing is waited for longer than some five seconds."""

    def submit(self, request: CallRequest, flow: FlowReference, idempotency_key: str) -> str:
        """Start a job, or find the one that was started under the same key.

        Returns:
            The job's id.

        Raises:
            LangflowError: It is not known to have started; doing it again with the same key is safe.
        """

    def follow(self, job_id: str, seconds: float) -> Iterator[str]:
        """Tell what happens in a job, until it is over, waits for a human, or so many seconds have passed.

        Yields:
            Lines for the run's log, which hold no texts of inputs or answers.
        """

    def collect(self, job_id: str, seconds: float) -> dict[str, Any]:
        """Wait for a job's end, at most so many seconds.

        Returns:
            The raw response, in the same shape as that of a direct call.

        Raises:
            LangflowError: There is no answer, or not yet.
        """

    def stop(self, job_id: str) -> bool:
        """Stop a job, within five seconds.

        Returns:
            Whether it was stopped; False if it had ended before.

        Raises:
            LangflowError: It may go on.
        """

    def spent(self, job_id: str) -> tuple[Usage, ...]:
        """Tell what a job without an answer used all the same; nothing where that is not known. Never raises."""


class CallBackend(Protocol):
    """What the path of a call asks of a backend; `dagma.Backend` describes each method."""

    @property
    def backend_name(self) -> str:
        """Name the backend for the ledger."""

    @property
    def policy(self) -> CallPolicy:
        """Say how patiently its calls are made."""

    @property
    def identity(self) -> str:
        """Tell it from backends that may answer otherwise."""

    @property
    def takes_files(self) -> bool:
        """Whether it hands files to flows."""

    @property
    def outcome_seconds(self) -> float:
        """Say how long to look for an outcome, in seconds."""

    def choose_mode(self, request: CallRequest, flow: FlowReference) -> Mode:
        """Choose how the call is sent."""

    def answer(self, request: CallRequest) -> dict[str, Any]:
        """Send the call and wait for its raw response."""

    def read(self, response: Mapping[str, Any]) -> Answer:
        """Say what a raw response means."""

    def explain(self, error: Exception) -> LangflowError:
        """Say what an exception of `answer` means."""

    def spent(self, error: Exception) -> tuple[Usage, ...]:
        """Tell what a call used that has failed."""

    def jobs(self) -> Jobs | None:
        """Give what runs durable jobs, if the backend has any."""

    def find_outcome(self, request: CallRequest, begun: Begun) -> Finding:
        """Find out what became of a call whose end nobody saw."""
