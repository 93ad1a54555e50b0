"""How patiently calls are made: attempts, waits and deadlines, in one place."""

from typing import Literal

import dagster as dg
from pydantic import Field

from dagma.backoff import Backoff


class CallPolicy(dg.Config):
    """How patiently a backend's calls are made.

    A request is sent again within its call, where it surely did not run. A call whose attempt was lost is sent again
    within its step. A step without an answer is retried, after waits that together outlast a restart of Langflow.
    """

    request_attempts: int = Field(
        default=4, ge=1, description="How often a request is sent at most; again only where it surely did not run."
    )
    first_request_wait_seconds: float = Field(
        default=0.5, ge=0, description="Seconds before a request is sent again. Each further wait is twice as long."
    )
    longest_request_wait_seconds: float = Field(
        default=20.0,
        ge=0,
        description="Longest wait between two requests, in seconds. Retry-After is used instead.",
    )
    look_up_seconds: float = Field(
        default=5.0,
        gt=0,
        description="Seconds for a look-up before a call, which goes on without it, and for stopping a job.",
    )
    in_flight_seconds: float = Field(
        default=45.0,
        ge=0,
        description="Seconds to wait for another caller that is sending the same call: longer than a database needs to "
        "notice that one died.",
    )
    resends: int = Field(
        default=2,
        ge=0,
        description="How often a call whose attempt was lost is sent again at once. Each may have to be paid for.",
    )
    on_unknown: Literal["as_ledger", "fail", "resend", "give_up"] = Field(
        default="as_ledger",
        description="What to do if what became of an attempt can't be found out: fail, resend or give_up; as_ledger: "
        "what DAGMA_LEDGER_ON_UNKNOWN says.",
    )
    outage_seconds: float = Field(
        default=180.0,
        gt=0,
        description="Seconds to wait for a Langflow that restarts while a job runs; after that the step is retried.",
    )
    step_retries: int = Field(default=6, ge=0, description="How often a step without an answer is retried at most.")
    first_step_wait_seconds: float = Field(
        default=4.0, ge=0, description="Seconds before a step is retried. Each further wait is twice as long."
    )
    longest_step_wait_seconds: float = Field(
        default=60.0,
        ge=0,
        description="Longest wait before a step is retried, in seconds. Retry-After is used instead.",
    )
    longest_retry_after_seconds: float = Field(
        default=600.0, ge=0, description="A step fails where the server asks to wait for longer than this, in seconds."
    )

    @property
    def request_backoff(self) -> Backoff:
        """The waits between the requests of a call."""
        return Backoff(self.first_request_wait_seconds, self.longest_request_wait_seconds)

    @property
    def step_backoff(self) -> Backoff:
        """The waits before a step is retried."""
        return Backoff(self.first_step_wait_seconds, self.longest_step_wait_seconds)
