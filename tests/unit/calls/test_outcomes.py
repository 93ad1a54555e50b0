"""Direct calls that were sent and whose end nobody saw: found out, and never paid for twice."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
from unit.calls.conftest import FLOW_ID, NO_HISTORY, Flow, Ran, execute, rows, sends
from unit.calls.quick_policy import set_policy

from dagma.backends.langflow import langflow_outcomes
from dagma.backends.langflow.langflow_jobs import Clients
from dagma.backends.langflow.langflow_outcomes import LangflowOutcomes
from dagma.backends.langflow.langflow_resource import langflow_from_environment
from dagma.calls.call_backend import Answered, Failed, Finding
from dagma.calls.request import CallRequest, own_session
from dagma.cli import main
from dagma.langflow import Flow as LangflowFlow
from dagma.langflow import FlowFailed, PastRun
from dagma.langflow.past_runs_api import RunState
from dagma.ledger import Begun, input_hash
from dagma.testing import ComponentFailed, FakeLangflow, Fault

BREAKS_OFF_AFTER_THE_ANSWER = Fault(path="/api/v1/run", after_work=True, drop=True)
NEVER_ARRIVES = Fault(path="/api/v1/run", drop=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(langflow_outcomes, "SETTLING_SECONDS", 0.5)


def states() -> list[tuple[int, str]]:
    return [(row["attempt"], row["state"]) for row in rows()]


def left_unknown(fake: FakeLangflow, instance: dg.DagsterInstance, fault: Fault, **config: Any) -> Ran:
    """Run the asset so that its call ends as unknown, since Langflow can't be asked."""
    fake.script(fault, NO_HISTORY)
    run = execute(instance, input_value="hi", **config)
    assert states()[-1][1] == "unknown"
    fake.clear()
    return run


def test_the_answer_of_a_call_that_broke_off_is_found_by_the_same_run(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    fake.script(BREAKS_OFF_AFTER_THE_ANSWER)
    run = execute(instance, input_value="hi")
    assert run.success
    metadata = run.metadata
    assert (metadata["answer"], metadata["origin"], metadata["attempt"]) == ("You said hi.", "found", 1)
    assert (metadata["total_tokens"], metadata["model"]) == (38, "gpt-4o")
    assert len(sends(fake)) == 1
    (row,) = rows()
    assert (row["state"], row["total_tokens"], row["answer_text"]) == ("answered", 38, "You said hi.")


def test_the_answer_of_a_call_whose_caller_is_gone_is_found_by_the_retry(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    first = left_unknown(fake, instance, BREAKS_OFF_AFTER_THE_ANSWER)
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert (retry.success, retry.metadata["origin"]) == (True, "found")
    again = execute(instance, parent=first, retry=True, input_value="hi")
    assert (again.metadata["origin"], again.metadata["answer"]) == ("replayed", "You said hi.")
    assert len(sends(fake)) == 1


def test_a_call_that_still_runs_is_waited_for(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.goes.clear()
    monkeypatch.setenv("LANGFLOW_TIMEOUT_SECONDS", "1")
    first = execute(instance, input_value="hi")
    assert (first.failure["error"], first.failure["may_have_run"], first.retries) == ("CallTimeout", True, 0)
    assert "It still runs" in first.failure["fix"]
    monkeypatch.setenv("LANGFLOW_TIMEOUT_SECONDS", "60")
    threading.Timer(1.0, flow.goes.set).start()
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert (retry.success, retry.metadata["origin"]) == (True, "found")
    assert (len(sends(fake)), flow.answered) == (1, 1)


def test_a_call_that_runs_for_too_long_stays_unknown(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.goes.clear()
    monkeypatch.setenv("LANGFLOW_TIMEOUT_SECONDS", "1")
    first = execute(instance, input_value="hi")
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert retry.failure["error"] == "OutcomeUnknownError"
    assert "waited for as long as a call may take" in retry.failure["cause"]
    assert (len(sends(fake)), states()) == (1, [(1, "unknown")])


def test_a_call_that_died_with_its_langflow_is_sent_again(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.goes.clear()
    monkeypatch.setenv("LANGFLOW_TIMEOUT_SECONDS", "1")
    first = execute(instance, input_value="hi")
    fake.crash()
    flow.goes.set()
    monkeypatch.setenv("LANGFLOW_TIMEOUT_SECONDS", "60")
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert (retry.success, retry.metadata["origin"], retry.metadata["attempt"]) == (True, "sent", 2)
    assert states() == [(1, "failed"), (2, "answered")]
    assert len({request.json()["session_id"] for request in sends(fake)}) == 1


def test_a_call_whose_flow_failed_meanwhile_fails_with_its_reason(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance
) -> None:
    flow.raises = ComponentFailed("Model", "no such model")
    first = left_unknown(fake, instance, BREAKS_OFF_AFTER_THE_ANSWER)
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert retry.failure["error"] == "FlowFailed"
    assert "no such model" in retry.failure["cause"]
    assert (states(), len(sends(fake))) == ([(1, "failed")], 1)


def test_a_call_whose_flow_failed_for_a_cause_that_may_pass_is_sent_again(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance
) -> None:
    flow.raises = ComponentFailed("Model", "Connection error.")
    first = left_unknown(fake, instance, BREAKS_OFF_AFTER_THE_ANSWER)
    flow.raises = None
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert (retry.success, states(), len(sends(fake))) == (True, [(1, "failed"), (2, "answered")], 2)


BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


def found(*runs: PastRun) -> Finding:
    """What is found of a second attempt that began at `BEGAN`, in the session of these runs."""

    def past_answer(run: PastRun) -> Any:
        raise FlowFailed(f"{run.run_id} has failed.", outcome="failed")

    client = SimpleNamespace(
        recent_flow=lambda _: LangflowFlow("f", "F", "f", {}),
        past_runs=lambda *_, **__: list(runs),
        past_answer=past_answer,
    )
    clients = cast("Clients", SimpleNamespace(client=client, quick_client=client))
    begun = Begun(state="unknown", call_id="c", key="key", attempt=2, begun_at=BEGAN, mode="direct")
    request = CallRequest(flow_id="f", input_value="next", session_id=runs[0].session_id)
    return LangflowOutcomes(clients).find(request, begun)


@pytest.mark.parametrize(("session", "state"), [("chat", "completed"), (own_session("key"), "failed")])
def test_the_run_of_a_call_before_it_is_not_taken_for_its_own(session: str, state: RunState) -> None:
    before = PastRun("before", session, state, began_at=BEGAN - timedelta(seconds=3), asked="next")
    assert not isinstance(found(before), Answered | Failed)


def test_its_own_run_is_told_from_the_one_of_the_attempt_before_it() -> None:
    session = own_session("key")
    before = PastRun("before", session, "failed", began_at=BEGAN - timedelta(seconds=3))
    own = PastRun("own", session, "failed", began_at=BEGAN + timedelta(seconds=0.1))
    told = found(before, own)
    assert isinstance(told, Failed)
    assert told.error.cause == "own has failed."


def test_a_call_that_never_began_is_sent_by_the_same_run(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    execute(instance, input_value="before")
    fake.script(NEVER_ARRIVES)
    run = execute(instance, input_value="hi")
    assert (run.success, run.metadata["attempt"]) == (True, 2)
    assert states() == [(1, "answered"), (1, "failed"), (2, "answered")]


def forget_everything(fake: FakeLangflow) -> None:
    """Put another Langflow behind the same address, or give the key of another user."""
    fake.forget_history()


def keep_no_messages(fake: FakeLangflow) -> None:
    nodes = [
        {
            "id": "ChatInput-1",
            "data": {"type": "ChatInput", "node": {"template": {"should_store_message": {"value": False}}}},
        }
    ]
    fake.add_flow("assistant", flow_id=FLOW_ID, flow={"data": {"nodes": nodes, "edges": []}})


def edit_the_flow(fake: FakeLangflow) -> None:
    template = {"should_store_message": {"value": True}, "new": {"value": 1}}
    nodes = [{"id": "ChatInput-1", "data": {"type": "ChatInput", "node": {"template": template}}}]
    fake.add_flow("assistant", flow_id=FLOW_ID, flow={"data": {"nodes": nodes, "edges": []}})


def refuse_the_look_up(fake: FakeLangflow) -> None:
    fake.script(Fault(path="/api/v1/flows", status=403, times=0))


def answer_slowly(fake: FakeLangflow) -> None:
    fake.script(Fault(path="/api/v1/monitor", delay=1.0, times=0))


@pytest.mark.parametrize(
    ("hide", "config"),
    [
        (forget_everything, {}),
        (keep_no_messages, {}),
        (edit_the_flow, {}),
        (refuse_the_look_up, {}),
        (answer_slowly, {}),
        (lambda _: None, {"session_id": "mine"}),
    ],
    ids=["another server", "no messages", "another flow", "no look-up", "slow answers", "a session of the caller's"],
)
def test_a_call_that_may_have_begun_unseen_is_not_sent_again(
    fake: FakeLangflow,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    hide: Callable[[FakeLangflow], None],
    config: dict[str, Any],
) -> None:
    monkeypatch.setattr(langflow_outcomes, "PROMPT_SECONDS", 0.5)
    execute(instance, input_value="before")
    first = left_unknown(fake, instance, NEVER_ARRIVES, **config)
    monkeypatch.setenv("LANGFLOW_TIMEOUT_SECONDS", "3")
    hide(fake)
    retry = execute(instance, parent=first, retry=True, input_value="hi", **config)
    assert retry.failure["error"] == "OutcomeUnknownError"
    assert (len(sends(fake)), states()[-1]) == (2, (1, "unknown"))


def test_a_request_that_timed_out_may_begin_late_and_is_not_sent_again(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(instance, input_value="before")
    monkeypatch.setenv("LANGFLOW_TIMEOUT_SECONDS", "1")
    first = left_unknown(fake, instance, Fault(path="/api/v1/run", delay=3.0, drop=True))
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert "for as long as a call may take" in retry.failure["cause"]
    assert len(sends(fake)) == 2


def test_the_same_question_twice_in_a_session_of_the_callers_can_not_be_told_apart(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    first = left_unknown(fake, instance, BREAKS_OFF_AFTER_THE_ANSWER, session_id="mine")
    execute(instance, input_value="hi", session_id="mine")
    retry = execute(instance, parent=first, retry=True, input_value="hi", session_id="mine")
    assert retry.failure["error"] == "OutcomeUnknownError"
    assert "has 2 such calls" in retry.failure["cause"]


def test_an_answer_in_a_session_of_the_callers_is_found_among_other_questions(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    execute(instance, input_value="another", session_id="mine")
    first = left_unknown(fake, instance, BREAKS_OFF_AFTER_THE_ANSWER, session_id="mine")
    retry = execute(instance, parent=first, retry=True, input_value="hi", session_id="mine")
    assert (retry.metadata["origin"], retry.metadata["answer"]) == ("found", "You said hi.")
    assert len(sends(fake)) == 2


@pytest.mark.parametrize("said_by", ["setting", "launch", "policy"])
def test_unknown_calls_are_sent_again_where_somebody_says_so(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, said_by: str
) -> None:
    if said_by == "policy":
        set_policy(monkeypatch, on_unknown="resend")
    config = {"on_unknown": "resend"} if said_by == "launch" else {}
    first = left_unknown(fake, instance, BREAKS_OFF_AFTER_THE_ANSWER, **config)
    fake.script(NO_HISTORY)
    if said_by == "setting":
        monkeypatch.setenv("DAGMA_LEDGER_ON_UNKNOWN", "resend")
    retry = execute(instance, parent=first, retry=True, input_value="hi", **config)
    assert (retry.success, retry.metadata["attempt"]) == (True, 2)
    assert states() == [(1, "unknown"), (2, "answered")]


def test_an_answer_that_can_be_found_is_not_paid_for_twice_where_unknown_calls_are_sent_again(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    first = left_unknown(fake, instance, BREAKS_OFF_AFTER_THE_ANSWER, on_unknown="resend")
    retry = execute(instance, parent=first, retry=True, input_value="hi", on_unknown="resend")
    assert (retry.metadata["origin"], len(sends(fake))) == ("found", 1)


def test_a_launch_may_give_unknown_calls_up(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    fake.script(BREAKS_OFF_AFTER_THE_ANSWER, NO_HISTORY)
    first = execute(instance, input_value="hi", on_unknown="give_up")
    retry = execute(instance, parent=first, retry=True, input_value="hi", on_unknown="give_up")
    assert retry.failure["error"] == "OutcomeGivenUpError"
    fake.clear()
    again = execute(instance, parent=first, retry=True, input_value="hi")
    assert again.failure["error"] == "OutcomeGivenUpError"
    assert (len(sends(fake)), states()) == (1, [(1, "unknown")])


def test_a_person_decides_that_a_call_is_sent_again(
    fake: FakeLangflow, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    first = left_unknown(fake, instance, BREAKS_OFF_AFTER_THE_ANSWER)
    fake.script(NO_HISTORY)
    short = rows()[0]["id"][:8]
    assert main(["ledger", "resolve", short, "--resend"]) == 0
    assert f"Retry run {first.run.run_id} from failure" in capsys.readouterr().out
    assert "ledger resolve" in rows()[0]["rejected_reason"]
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert (retry.success, retry.metadata["attempt"], len(sends(fake))) == (True, 2, 2)


def test_a_person_gives_a_call_up_and_may_change_their_mind(
    fake: FakeLangflow, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    first = left_unknown(fake, instance, BREAKS_OFF_AFTER_THE_ANSWER)
    call_id = rows()[0]["id"]
    assert main(["ledger", "resolve", call_id, "--give-up"]) == 0
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert retry.failure["error"] == "OutcomeGivenUpError"
    assert "--resend" in retry.failure["cause"]
    assert main(["ledger", "resolve", call_id, "--resend"]) == 0
    assert execute(instance, parent=first, retry=True, input_value="hi").metadata["attempt"] == 2
    assert main(["ledger", "resolve", call_id, "--give-up"]) == 1
    assert "can't be undone" in capsys.readouterr().err


def test_only_a_call_that_is_unknown_can_be_resolved(
    fake: FakeLangflow, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(instance, input_value="hi")
    assert main(["ledger", "resolve", rows()[0]["id"][:8], "--resend"]) == 1
    assert "answered" in capsys.readouterr().err
    assert main(["ledger", "resolve", "ffffffff", "--resend"]) == 1
    assert "No call's id" in capsys.readouterr().err


def test_each_call_has_a_session_of_its_own_that_its_retries_share(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance
) -> None:
    flow.raises = ComponentFailed("Model", "no luck")
    first = execute(instance, input_value="hi")
    flow.raises = None
    execute(instance, parent=first, retry=True, input_value="hi")
    execute(instance, input_value="hi")
    one, retried, other = (request.json()["session_id"] for request in sends(fake))
    assert one == retried != other
    assert FLOW_ID not in (one, other)
    assert rows()[-1]["session_id"] == other


def test_jobs_and_streams_have_sessions_of_their_own_too(fake: FakeLangflow) -> None:
    backend = langflow_from_environment()
    backend.run_flow("hi", mode="job")
    backend.run_flow("hi", mode="direct", stream=True)
    job, stream = (request.json()["session_id"] for request in sends(fake))
    assert job.startswith("call-")
    assert stream.startswith("call-")
    assert job != stream


def test_a_session_of_the_calls_own_leaves_its_key_as_it_was(fake: FakeLangflow) -> None:
    backend = langflow_from_environment()
    backend.run_flow("hi")
    asked = {"input_value": "hi", "output_type": "chat", "input_type": "chat", "tweaks": None, "session_id": None}
    assert rows()[0]["input_hash"] == input_hash({**asked, "backend": backend.identity})
