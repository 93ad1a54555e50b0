import socket
from dataclasses import replace

import dagster as dg
import pytest
from unit.calls.conftest import FLOW_ID, NO_HISTORY, execute, sends

from dagma.calls import retrying
from dagma.calls.call_policy import CallPolicy
from dagma.langflow import CallTimeout, FlowFailed, FlowNotFound, LangflowError, RateLimited, Unreachable
from dagma.testing import FakeLangflow, Fault

WRONG_KEY = Fault(path="/api/v1/run", status=403, body={"detail": "Invalid API key"})


FAILED = '{"message": "Error running graph: Error building Component Model: no"}'
FAULTS = {
    "Forbidden": (WRONG_KEY, False),
    "FlowNotFound": (Fault(status=404, body={"detail": "Flow identifier x not found"}), False),
    "ServerError": (Fault(status=500, body={"detail": "boom"}), True),
    "FlowFailed": (Fault(status=500, body={"detail": FAILED}), True),
    "RedirectRefused": (Fault(status=302, headers={"Location": "http://other.example"}), False),
    "MalformedResponse": (Fault(status=200, body="<html>Sign in</html>"), True),
    "CompletedWithoutOutput": (Fault(status=200, body={"outputs": [{"outputs": []}]}), True),
}


@pytest.mark.parametrize("error", FAULTS)
def test_a_call_without_an_answer_fails_once_and_says_what_to_do(
    fake: FakeLangflow, instance: dg.DagsterInstance, error: str
) -> None:
    fault, may_have_run = FAULTS[error]
    fake.script(replace(fault, path="/api/v1/run", times=0), NO_HISTORY)
    run = execute(instance)
    assert not run.success
    assert not run.is_materialized
    assert run.retries == 0
    assert len(sends(fake)) == 1
    failure = run.failure
    assert failure["error"] == error
    assert failure["may_have_run"] is may_have_run
    assert failure["cause"]
    assert failure["fix"]
    assert failure["cause"] in failure["description"]
    assert failure["flow_url"] == f"http://langflow.example/flow/{FLOW_ID}"


def test_a_failure_links_to_the_page_of_a_flow_that_was_called_by_its_name(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    fake.script(WRONG_KEY)
    failure = execute(instance, flow_id="assistant").failure
    assert failure["flow_url"] == f"http://langflow.example/flow/{FLOW_ID}"
    assert failure["flow_id"] == FLOW_ID
    assert failure["flow_name"] == "Assistant"


def test_a_failure_links_to_the_list_where_no_flow_has_the_name(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    assert execute(instance, flow_id="asistant").failure["flow_url"] == "http://langflow.example/flows"


def test_an_unreachable_server_is_tried_again_until_the_retries_are_used_up(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("LANGFLOW_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
    monkeypatch.setenv("LANGFLOW_TIMEOUT_SECONDS", "0.5")
    run = execute(instance)
    assert run.retries == 2
    assert run.failure["error"] == "Unreachable"
    assert run.failure["may_have_run"] is False


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "wait_for_retry", lambda *_: None)


def outcome_of(error: LangflowError, retry_number: int = 0) -> Exception:
    with pytest.raises((dg.RetryRequested, dg.Failure)) as caught:
        retrying.retry_or_fail(error, retry_number=retry_number, metadata={})
    return caught.value


@pytest.mark.parametrize(
    ("error", "retry_number"),
    [
        pytest.param(Unreachable("It broke off.", outcome="unknown"), 0, id="outcome unknown"),
        pytest.param(CallTimeout("Too late.", outcome="failed"), 0, id="ran and failed"),
        pytest.param(FlowNotFound("None."), 0, id="permanent"),
        pytest.param(Unreachable("Refused.", outcome="not_run"), CallPolicy().step_retries, id="no retries left"),
        pytest.param(RateLimited("Wait.", retry_after=86_400), 0, id="asked to wait for a day"),
    ],
)
def test_is_not_retried_where_that_cannot_help_or_might_pay_twice(error: LangflowError, retry_number: int) -> None:
    failure = outcome_of(error, retry_number)
    assert isinstance(failure, dg.Failure)
    assert failure.allow_retries is False


@pytest.mark.usefixtures("no_waits")
def test_a_flow_that_failed_for_a_cause_that_may_pass_is_sent_again() -> None:
    down = FlowFailed("The model server refuses connections.", component="Model", retryable=True)
    assert isinstance(outcome_of(down), dg.RetryRequested)
    assert isinstance(outcome_of(FlowFailed("A component raised.", component="Model")), dg.Failure)


@pytest.mark.parametrize(("retry_number", "longest"), [(0, 4), (2, 16), (5, 60)])
def test_waits_grow_up_to_a_cap(monkeypatch: pytest.MonkeyPatch, retry_number: int, longest: float) -> None:
    waits: list[float] = []
    monkeypatch.setattr(retrying, "wait_for_retry", lambda _, seconds: waits.append(seconds))
    outcome_of(Unreachable("Refused.", outcome="not_run"), retry_number)
    (wait,) = waits
    assert longest / 2 <= wait <= longest
