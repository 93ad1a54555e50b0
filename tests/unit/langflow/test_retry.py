import time
from types import SimpleNamespace

import pytest

from dagma.backoff import Backoff
from dagma.langflow import CallTimeout, LangflowError, Outcome, RateLimited, RetryPolicy, ServerError, Unreachable
from dagma.langflow.http import connection
from dagma.langflow.http.watched_http import Deadline


class Script:
    """Raises the errors one after the other, then answers."""

    def __init__(self, *errors: LangflowError) -> None:
        self.errors = list(errors)
        self.waits: list[float] = []
        self.sent = 0

    def __call__(self) -> str:
        self.sent += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def call(script: Script, policy: RetryPolicy, *, idempotent: bool, seconds: float = 60.0) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "time", SimpleNamespace(monotonic=time.monotonic, sleep=script.waits.append))
        return policy.call(script, deadline=Deadline.after(seconds), idempotent=idempotent)


def test_a_refused_connection_is_retried_even_for_a_run():
    script = Script(Unreachable("Refused.", outcome="not_run"), RateLimited("Too many."))
    assert call(script, RetryPolicy(), idempotent=False) == "answer"
    assert script.sent == 3


@pytest.mark.parametrize(
    "error",
    [
        CallTimeout("Silent.", outcome="unknown"),
        Unreachable("Broke off.", outcome="unknown"),
        ServerError("502."),
        ServerError("503.", status=503),
    ],
)
def test_a_run_that_may_have_happened_is_never_sent_again(error: LangflowError):
    script = Script(error)
    with pytest.raises(type(error)):
        call(script, RetryPolicy(), idempotent=False)
    assert script.sent == 1


def test_a_request_that_runs_no_flow_is_retried_after_a_server_error():
    script = Script(ServerError("502."), CallTimeout("Silent."))
    assert call(script, RetryPolicy(), idempotent=True) == "answer"


def test_the_last_error_is_raised_when_the_attempts_are_used_up():
    script = Script(*(ServerError(f"Number {number}.") for number in range(1, 9)))
    with pytest.raises(ServerError, match=r"Number 3\."):
        call(script, RetryPolicy(attempts=3), idempotent=True)


@pytest.mark.parametrize("outcome", ["unknown", "not_run"])
def test_a_refusal_does_not_undo_an_attempt_that_may_have_run(outcome: Outcome):
    script = Script(Unreachable("Broke off.", outcome=outcome), *[RateLimited("Too many.")] * 3)
    with pytest.raises(RateLimited) as caught:
        call(script, RetryPolicy(attempts=3), idempotent=True)
    assert caught.value.outcome == outcome


def test_retry_after_is_honoured_beyond_the_cap():
    script = Script(RateLimited("Too many.", retry_after=33.0))
    call(script, RetryPolicy(backoff=Backoff(0.5, 2.0)), idempotent=False)
    (wait,) = script.waits
    assert 33.0 <= wait <= 33.5


def test_a_wait_beyond_the_deadline_is_not_begun():
    script = Script(RateLimited("Too many.", retry_after=33.0))
    with pytest.raises(RateLimited):
        call(script, RetryPolicy(), idempotent=False, seconds=5.0)
    assert script.waits == []


def test_waits_grow_to_the_cap_and_are_jittered():
    backoff = Backoff(first=1.0, longest=8.0)
    for attempt, longest in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (5000, 8.0)]:
        waits = {backoff.seconds(attempt) for _ in range(50)}
        assert all(longest / 2 <= wait <= longest for wait in waits)
        assert len(waits) > 1
