"""What Langflow keeps of direct runs, by which the outcome of a call is found whose caller saw no end of it."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from contract.conftest import Flows, LangflowServer

from dagma.backends.backend import Backend
from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.calls.request import Caller
from dagma.langflow import CallTimeout, FlowFailed, LangflowClient, LangflowError, PastRun


@pytest.fixture
def session() -> str:
    return f"call-{uuid4().hex}"


def the_run(client: LangflowClient, session: str, is_as: Callable[[PastRun], bool], seconds: float = 30.0) -> PastRun:
    """Wait until the only run of a session is as it should be."""
    until = time.monotonic() + seconds
    while True:
        runs = client.past_runs(session)
        assert len(runs) <= 1, runs
        if runs and is_as(runs[0]):
            return runs[0]
        assert time.monotonic() < until, runs
        time.sleep(0.1)


def test_a_run_whose_caller_gave_up_is_seen_to_run_and_answers(
    client: LangflowClient, flows: Flows, session: str
) -> None:
    with pytest.raises(CallTimeout) as caught:
        client.run(flows.behave, "hi", tweaks={"Behave-1": {"seconds": 3.0}}, session_id=session, timeout=1.5)
    assert caught.value.outcome == "unknown"
    running = the_run(client, session, lambda run: run.state == "running")
    assert (running.asked, running.messages) == ("hi", ())
    assert running.began_at is not None
    assert abs(running.began_at - datetime.now(UTC)) < timedelta(seconds=60)
    result = client.past_answer(the_run(client, session, lambda run: run.state == "completed"))
    assert (result.answer, result.session_id, result.job_id) == ("hi", session, running.run_id)
    assert client.past_runs(f"{session}-another") == []


def test_a_run_that_failed_tells_why(client: LangflowClient, flows: Flows, session: str) -> None:
    with pytest.raises(FlowFailed):
        client.run(flows.behave, "hi", tweaks={"Behave-1": {"fail_with": "no luck"}}, session_id=session)
    failed = the_run(client, session, lambda run: run.state == "failed")
    with pytest.raises(FlowFailed, match=r"in component 'Behave': no luck"):
        client.past_answer(failed)


def test_a_long_answer_is_found_whole(client: LangflowClient, flows: Flows, session: str) -> None:
    asked = "0123456789" * 700
    client.run(flows.echo, asked, session_id=session)
    assert client.past_answer(the_run(client, session, lambda run: run.state == "completed")).answer == asked


def test_what_was_said_before_a_moment_is_told_apart_by_session(
    client: LangflowClient, flows: Flows, session: str
) -> None:
    start = datetime.now(UTC)
    client.run(flows.echo, "hi", session_id=session)
    later = datetime.now(UTC) + timedelta(seconds=60)
    assert client.stored_before(flows.echo, later, session_prefix=session)
    assert not client.stored_before(flows.echo, later, session_prefix="nobody-")
    assert not client.stored_before(flows.echo, start - timedelta(hours=1), session_prefix="call-")


def backend_of(server: LangflowServer, flow_id: str, **settings: Any) -> Backend:
    return LangflowRestResource(base_url=server.base_url, api_key=server.api_key, default_flow_id=flow_id, **settings)


@pytest.fixture(autouse=True)
def ledger(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")


def test_two_calls_share_no_session_and_leave_the_authors_alone(
    langflow_server: LangflowServer, client: LangflowClient, flows: Flows
) -> None:
    backend = backend_of(langflow_server, flows.echo)
    by_the_author = len(client.past_runs(flows.echo))  # other tests play there
    sessions = []
    for mode, stream in (("direct", False), ("direct", True), ("job", False), ("direct", False)):
        answer = backend.read(backend.run_flow("hi", mode=mode, stream=stream))  # type: ignore[arg-type]
        assert answer.text == "hi"
        sessions.append(answer.session_id)
    assert len(set(sessions)) == 4
    assert all(session is not None and session.startswith("call-") for session in sessions)
    assert len(client.past_runs(flows.echo)) == by_the_author, "the flow's id is the session in which its author plays"


def test_a_call_whose_caller_gave_up_is_answered_to_the_next_one_without_a_second_run(
    langflow_server: LangflowServer, client: LangflowClient, flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    retried = Caller(scope=uuid4().hex, log=logging.getLogger(__name__))
    monkeypatch.setattr(Caller, "current", lambda _context: retried)
    tweaks = {"Behave-1": {"seconds": 6.0}}
    asked: dict[str, Any] = {"tweaks": tweaks, "row": "1", "mode": "direct"}
    with pytest.raises(LangflowError, match="dagma ledger resolve"):
        backend_of(langflow_server, flows.behave, timeout=1.5).run_flow("hi", **asked)
    answer = backend_of(langflow_server, flows.behave).run_flow("hi", **asked)
    assert answer["outputs"][0]["outputs"][0]["results"]["message"]["text"] == "hi"
    assert answer["rebuilt"]
    assert len(client.past_runs(str(answer["session_id"]))) == 1
