"""The contract of durable jobs: calls that outlive their caller."""

from collections.abc import Iterator
from typing import Any, Protocol

from dagma.calls.request import CallRequest, FlowReference
from dagma.ledger import Usage


class Jobs(Protocol):
    """Runs calls as jobs that can be found again by id, and by key until the id is known."""

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
