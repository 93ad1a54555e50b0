"""How a job's end is found where time, a stop or an interrupt come in between; over jobs that do as the test says."""

# ruff: noqa: ARG002 (the arguments are those of the contract)

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from dagma.calls.answer import Answer
from dagma.calls.call_backend import CallContext
from dagma.calls.durable_call import DurableCall, JobOutOfReachError
from dagma.calls.request import Caller, CallRequest, FlowReference
from dagma.langflow import (
    CallTimeout,
    FlowFailed,
    FlowNotFound,
    Forbidden,
    JobNotFound,
    LangflowError,
    Unauthorized,
    Unreachable,
)
from dagma.ledger import Begun, Call, Ledger, OutcomeUnknownError, Usage
from dagma.ledger.reports import all_calls

ANSWER = {"text": "a dear answer", "session_id": "s-1"}
USED = Usage(model="gpt-4o", input_tokens=30, output_tokens=8)


@dataclass
class ScriptedJobs:
    """Jobs of which a test says what they do: an exception is raised, anything else is the answer."""

    seconds: float = 60.0
    submitted: Any = "job-1"
    followed: Any = ()
    collected: Any = field(default_factory=lambda: ANSWER)
    stopped: Any = True
    asked: list[str] = field(default_factory=list)
    followed_for: float | None = None
    hurried: bool = False

    @property
    def quick(self) -> "ScriptedJobs":
        return replace(self, hurried=True, submitted="job-1")

    def submit(self, request: CallRequest, flow: FlowReference, idempotency_key: str) -> str:
        self._was_asked("submit")
        return str(_said(self.submitted))

    def follow(self, job_id: str, seconds: float) -> Iterator[str]:
        self._was_asked("follow")
        self.followed_for = seconds
        yield from _said(self.followed)

    def collect(self, job_id: str, seconds: float) -> dict[str, Any]:
        self._was_asked("collect")
        answer: dict[str, Any] = _said(self.collected)
        return answer

    def stop(self, job_id: str) -> bool:
        self._was_asked("stop")
        return bool(_said(self.stopped))

    def spent(self, job_id: str) -> tuple[Usage, ...]:
        return (USED,)

    def _was_asked(self, what: str) -> None:
        self.asked.append(f"quick {what}" if self.hurried else what)


def _said(what: Any) -> Any:
    if isinstance(what, BaseException):
        raise what
    return what


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    return Ledger(ledger_url)


def begin(ledger: Ledger) -> Begun:
    return ledger.begin(Call(flow_id="flow", input_hash="hash", scope="run", mode="job"))


def make(jobs: ScriptedJobs, ledger: Ledger, begun: Begun, *, cancelled: bool = False) -> dict[str, Any]:
    request = CallRequest(flow_id="flow", input_value="hi")
    caller = (CancelledCaller if cancelled else Caller)(scope="run", log=logging.getLogger("test"))
    backend: Any = SimpleNamespace(read=Answer.from_response)
    return DurableCall(CallContext(backend, request, FlowReference("flow"), caller, ledger), jobs, begun).make()


class CancelledCaller(Caller):
    """A step whose run a user has cancelled."""

    def is_cancelled(self) -> bool:
        return True

    def sees_cancel(self) -> bool:
        return True


def row(ledger: Ledger) -> dict[str, Any]:
    (only,) = all_calls(ledger.database)
    return dict(only)


def test_a_job_that_is_found_again_has_its_whole_time(ledger_url: str) -> None:
    # It may have waited for a human meanwhile.
    yesterday = Ledger(ledger_url, clock=lambda: datetime.now(UTC) - timedelta(days=1))
    yesterday.submitted(begin(yesterday), "job-1")
    ledger, jobs = Ledger(ledger_url), ScriptedJobs(seconds=60.0)
    assert make(jobs, ledger, begin(ledger)) == ANSWER
    assert jobs.asked == ["follow", "collect"]
    assert jobs.followed_for == pytest.approx(60.0, abs=5.0)


def test_an_overdue_job_that_ended_before_its_stop_is_collected(ledger: Ledger) -> None:
    jobs = ScriptedJobs(seconds=0.0, followed=CallTimeout("Not over."), stopped=False)
    assert make(jobs, ledger, begin(ledger)) == ANSWER
    assert jobs.asked == ["submit", "follow", "stop", "collect"]
    assert row(ledger)["state"] == "submitted"


def test_an_overdue_job_that_failed_before_its_stop_is_a_failed_flow(ledger: Ledger) -> None:
    failure = FlowFailed("The job failed.")
    jobs = ScriptedJobs(seconds=0.0, followed=CallTimeout("Not over."), stopped=False, collected=failure)
    with pytest.raises(FlowFailed):
        make(jobs, ledger, begin(ledger))
    assert (row(ledger)["state"], row(ledger)["error_class"]) == ("failed", "FlowFailed")


@pytest.mark.parametrize(
    ("stopped", "error", "state"),
    [(True, CallTimeout, "failed"), (Unreachable("Refused."), JobOutOfReachError, "submitted")],
    ids=["stopped", "not reached"],
)
def test_an_overdue_job_is_given_up_only_once_it_is_stopped(
    ledger: Ledger, stopped: Any, error: type[LangflowError], state: str
) -> None:
    jobs = ScriptedJobs(seconds=0.0, followed=CallTimeout("Not over."), stopped=stopped)
    with pytest.raises(error):
        make(jobs, ledger, begin(ledger))
    assert row(ledger)["state"] == state


def test_a_job_that_langflow_does_not_know_any_more_is_not_sent_again_as_it_may_have_been_paid_for(
    ledger: Ledger,
) -> None:
    jobs = ScriptedJobs(followed=JobNotFound("No such job.", status=404))
    with pytest.raises(JobNotFound, match=r"dagma ledger resolve \w+ --resend") as caught:
        make(jobs, ledger, begin(ledger))
    assert caught.value.outcome == "unknown"
    assert (row(ledger)["state"], row(ledger)["error_class"]) == ("unknown", "JobNotFound")
    with pytest.raises(OutcomeUnknownError) as unknown:
        begin(ledger)
    ledger.resend(unknown.value.begun, "decided by a test")
    assert begin(ledger).attempt == 2


@pytest.mark.parametrize("error", [Unauthorized, Forbidden, FlowNotFound])
def test_a_refusal_while_a_job_runs_does_not_say_that_nothing_ran(ledger: Ledger, error: type[LangflowError]) -> None:
    jobs = ScriptedJobs(followed=error("Refused."))
    with pytest.raises(error) as caught:
        make(jobs, ledger, begin(ledger))
    assert caught.value.outcome == "unknown"
    assert row(ledger)["state"] == "submitted"


def test_a_cancel_during_the_submit_asks_for_the_job_in_a_hurry(ledger: Ledger) -> None:
    jobs = ScriptedJobs(submitted=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        make(jobs, ledger, begin(ledger), cancelled=True)
    assert jobs.asked == ["submit", "quick submit", "quick stop"]
    assert row(ledger)["state"] == "cancelled"


def test_a_job_that_a_cancel_stops_is_recorded_with_what_it_used(ledger: Ledger) -> None:
    jobs = ScriptedJobs(followed=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        make(jobs, ledger, begin(ledger), cancelled=True)
    assert (row(ledger)["state"], row(ledger)["total_tokens"]) == ("cancelled", 38)


def test_an_answer_that_came_before_the_cancel_is_recorded_with_its_text(ledger_url: str) -> None:
    ledger = Ledger(ledger_url, texts="full")
    jobs = ScriptedJobs(followed=KeyboardInterrupt(), stopped=False)
    with pytest.raises(KeyboardInterrupt):
        make(jobs, ledger, begin(ledger), cancelled=True)
    assert jobs.asked == ["submit", "follow", "quick stop", "quick collect"]
    assert row(ledger)["state"] == "answered"
    assert (row(ledger)["answer_text"], row(ledger)["session_id"]) == ("a dear answer", "s-1")
    assert begin(ledger).raw == ANSWER


@pytest.mark.parametrize(
    ("collected", "state"),
    [
        ({"txt": "a typo"}, "answered"),
        (FlowFailed("The job failed."), "failed"),
        (Unreachable("Refused."), "submitted"),
    ],
    ids=["answer that can not be read", "failed", "not reached"],
)
def test_a_job_that_ended_before_the_cancel_is_recorded_as_it_ended(ledger: Ledger, collected: Any, state: str) -> None:
    jobs = ScriptedJobs(followed=KeyboardInterrupt(), stopped=False, collected=collected)
    with pytest.raises(KeyboardInterrupt):
        make(jobs, ledger, begin(ledger), cancelled=True)
    assert row(ledger)["state"] == state
