"""Calls as jobs: they outlive their run, end with a user's cancel, and are paid for once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from unit.calls.conftest import FLOW_ID, Flow, Ran, execute, rows, sends, wait_for
from unit.calls.quick_policy import set_policy

from dagma.backends.langflow import langflow_jobs, langflow_resource
from dagma.langflow import Access, JobPolicy, LangflowClient
from dagma.testing import ComponentFailed, FakeAnswer, FakeCall, FakeLangflow, Fault, HumanNeeded

HERE = Path(__file__).parent
APPROVAL = HERE.parents[1] / "contract" / "flows" / "approval.json"


@pytest.fixture(autouse=True)
def by_job(monkeypatch: pytest.MonkeyPatch, fake: FakeLangflow) -> None:
    monkeypatch.setenv("LANGFLOW_MODE", "auto")


def test_a_job_gives_the_response_and_the_figures_of_a_direct_call(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    direct, job = execute(instance, input_value="hi", mode="direct"), execute(instance, input_value="hi")
    for label in ("answer", "input_tokens", "output_tokens", "total_tokens", "model", "cost_usd"):
        assert job.metadata[label] == direct.metadata[label]
    assert job.metadata["mode"] == "job"
    assert {"origin", "attempt"}.isdisjoint(job.metadata)
    assert job.metadata["job_id"] == fake.jobs[0].id
    row = rows()[1]
    assert (row["mode"], row["state"], row["job_id"], row["total_tokens"]) == ("job", "answered", fake.jobs[0].id, 38)


@pytest.mark.parametrize(
    ("config", "error", "told"),
    [
        ({"input_value": "a\0b"}, "BadRequest", "input_value holds a NUL character"),
        ({"session_id": "a\0b"}, "BadRequest", "session_id holds a NUL character"),
        ({"flow_id": "a\0b"}, "BadRequest", "flow_id holds a NUL character"),
        ({"flow_id": "a/b"}, "BadRequest", "'a/b'"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("mode", ["auto", "direct"])
def test_what_can_not_be_sent_fails_at_once_and_is_neither_sent_nor_recorded(
    fake: FakeLangflow, instance: dg.DagsterInstance, mode: str, config: dict[str, Any], error: str, told: str
) -> None:
    ran = execute(instance, mode=mode, **config)
    assert (ran.retries, ran.failure["error"], ran.failure["may_have_run"]) == (0, error, False)
    assert told in ran.failure["cause"]
    assert sends(fake) == []
    assert rows() == []


def test_the_runs_log_tells_the_progress_as_it_happens_and_no_text(
    fake: FakeLangflow, flow: Flow, instance_on_disk: dg.DagsterInstance
) -> None:
    flow.goes.clear()
    seen_early: list[str] = []

    def look() -> None:
        (run,) = wait_for("the run", instance_on_disk.get_runs)

        def lines() -> list[str]:
            return [
                record.user_message for record in instance_on_disk.all_logs(run.run_id) if record.dagster_event is None
            ]

        seen_early.extend(
            wait_for("progress", lambda: [line for line in lines() if "ChatInput-1 has finished" in line])
        )
        flow.goes.set()

    watcher = threading.Thread(target=look)
    watcher.start()
    run = execute(instance_on_disk, input_value="a private question")
    watcher.join()
    assert len(seen_early) == 1
    job_id = fake.jobs[0].id
    assert [line.removeprefix(f"Job {job_id}: ") for line in run.log if line.startswith("Job")] == [
        "the flow has started (0 of 2 components)",
        "ChatInput-1 has started (0 of 2 components)",
        "ChatInput-1 has finished after 0.00 s (1 of 2 components)",
        "ChatOutput-1 has started (1 of 2 components)",
        "ChatOutput-1 has finished after 0.00 s (2 of 2 components)",
        "the flow has finished after 0.00 s",
    ]
    assert "private" not in "".join(run.log)


def test_the_log_of_an_endless_flow_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from dagma.langflow import FlowEvent

    monkeypatch.setattr(langflow_jobs, "COUNT_SECONDS", 0.0)
    events = [FlowEvent("component_started", component="A")] * 310 + [FlowEvent("token", text="secret")] * 3
    lines = list(langflow_jobs.progress_lines(events))
    assert lines[:300] == ["A has started"] * 300
    assert lines[-1] == "3 tokens so far"


def test_a_killed_run_leaves_the_job_running_and_its_retry_collects_it(
    fake: FakeLangflow, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    flow.goes.clear()
    with (
        dg.DagsterInstance.get() as instance,
        subprocess.Popen(
            [sys.executable, HERE / "run_in_process.py", "hi"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process,
    ):
        assert process.stdout is not None
        run_id = process.stdout.readline().decode().strip()
        wait_for("the job's id in the ledger", lambda: rows() and rows()[0]["state"] == "submitted", seconds=60)
        process.kill()
        process.wait()

        killed = instance.get_run_by_id(run_id)
        assert killed is not None
        assert killed.status is dg.DagsterRunStatus.STARTED
        flow.goes.set()
        retry = execute(instance, parent=killed, retry=True, input_value="hi")
    assert retry.metadata["origin"] == "re-attached"
    assert (retry.metadata["answer"], retry.metadata["attempt"]) == ("You said hi.", 1)
    assert len(sends(fake)) == 1
    assert flow.answered == 1
    assert [(row["state"], row["run_id"]) for row in rows()] == [("answered", run_id)]


@contextmanager
def interrupting(instance: dg.DagsterInstance, fake: FakeLangflow, *, cancel: bool) -> Iterator[None]:
    """Interrupt the run of the block once its job runs and is followed, as a worker does on a cancel or a shutdown."""

    def interrupt() -> None:
        wait_for("the job", lambda: [job for job in fake.jobs if job.state == "in_progress"])
        wait_for("its follower", lambda: any(request.path.endswith("/events") for request in fake.requests))
        if cancel:
            (run,) = wait_for("the run", instance.get_runs)
            wait_for("the cancel", lambda: instance.report_run_canceling(run) is None)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


def test_a_cancelled_run_stops_its_job(fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance) -> None:
    flow.goes.clear()
    with interrupting(instance, fake, cancel=True):
        run = execute(instance, input_value="hi")
    assert run.status is dg.DagsterRunStatus.CANCELED, run.log
    assert [job.state for job in fake.jobs] == ["cancelled"]
    assert [row["state"] for row in rows()] == ["cancelled"]
    assert f"Cancelled: job {fake.jobs[0].id} is stopped." in run.log


def test_a_run_that_is_cancelled_while_langflow_is_frozen_ends_soon(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_policy(monkeypatch, look_up_seconds=0.3)
    fake.script(Fault(path="/api/v2/workflows", times=0, delay=8.0))
    interrupted_at = []

    def interrupt() -> None:
        wait_for("the submit", lambda: sends(fake))
        (run,) = wait_for("the run", instance.get_runs)
        wait_for("the cancel", lambda: instance.report_run_canceling(run) is None)
        interrupted_at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    run = execute(instance, input_value="hi")
    thread.join()
    assert time.monotonic() - interrupted_at[0] < 5.0
    assert run.status is dg.DagsterRunStatus.CANCELED, run.log


def test_a_run_that_is_interrupted_otherwise_leaves_its_job_to_the_retry(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance
) -> None:
    flow.goes.clear()
    with interrupting(instance, fake, cancel=False):
        run = execute(instance, input_value="hi")
    assert run.status is dg.DagsterRunStatus.FAILURE, run.log
    assert [job.state for job in fake.jobs] == ["in_progress"]
    assert [row["state"] for row in rows()] == ["submitted"]

    flow.goes.set()
    retry = execute(instance, parent=run, retry=True, input_value="hi")
    assert (retry.metadata["origin"], retry.metadata["job_id"]) == ("re-attached", fake.jobs[0].id)
    assert len(sends(fake)) == 1


def test_a_submit_whose_reply_is_lost_is_repeated_by_the_step_and_finds_the_job(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFLOW_TIMEOUT_SECONDS", "0.6")
    # Every reply of the first step: the client's own repetitions find the job too, but hear nothing of it.
    fake.script(Fault(path="/api/v2/workflows", method="POST", after_work=True, delay=1.0))
    run = execute(instance, input_value="hi")
    assert (run.success, run.retries, run.metadata.get("attempt", 1)) == (True, 1, 1)
    assert len(fake.jobs) == 1
    assert len(sends(fake)) > 1


@pytest.mark.parametrize("attempts", [1, 2], ids=["refused to the next step", "refused to the same step"])
def test_a_submit_whose_reply_is_lost_and_that_is_then_refused_is_no_second_job(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    set_policy(monkeypatch, request_attempts=attempts, first_request_wait_seconds=0.01)
    fake.script(
        Fault(path="/api/v2/workflows", method="POST", after_work=True, drop=True),
        Fault(path="/api/v2/workflows", method="POST", status=429),
    )
    run = execute(instance, input_value="hi")
    assert (run.success, run.metadata["origin"], run.metadata["attempt"]) == (True, "re-attached", 1)
    assert len(fake.jobs) == 1
    assert [row["state"] for row in rows()] == ["answered"]


LOGIN_PAGE = Fault(status=200, body="<html>Log in</html>", headers={"Content-Type": "text/html"}, times=0)
REDIRECT = Fault(status=302, headers={"Location": "https://elsewhere.example/"}, times=0)


@pytest.mark.parametrize(
    ("fault", "state", "attempt"),
    [
        (replace(LOGIN_PAGE, method="POST", after_work=True), "begun", 1),
        (replace(REDIRECT, method="POST"), "failed", 2),
        (replace(LOGIN_PAGE, method="GET"), "submitted", 1),
        (replace(REDIRECT, method="GET"), "submitted", 1),
    ],
    ids=["login page to the submit", "redirect of the submit", "login page as the state", "redirect of the state"],
)
def test_a_gateway_that_answers_in_place_of_langflow_costs_no_second_job(
    fake: FakeLangflow,
    flow: Flow,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    fault: Fault,
    state: str,
    attempt: int,
) -> None:
    fake.script(replace(fault, path="/api/v2/workflows"))
    first = execute(instance, input_value="hi")
    assert not first.success
    assert [(row["state"], row["answer_text"]) for row in rows()] == [(state, None)]
    assert list(tmp_path.glob("*.live/*")) == [], "The call is still marked as being sent."

    fake.clear()
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert (retry.metadata["answer"], retry.metadata["attempt"]) == ("You said hi.", attempt)
    assert (len(fake.jobs), flow.answered) == (1, 1)


@pytest.mark.parametrize("how", ["crash", "drop_jobs"])
def test_a_job_that_langflow_lost_is_sent_again_in_the_same_step(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(langflow_resource, "JobPolicy", partial(JobPolicy, unattended=0.5, poll=0.1))
    flow.goes.clear()
    loser = threading.Thread(target=lose, args=(fake, flow, 1, how))
    loser.start()
    run = execute(instance, input_value="hi")
    loser.join()
    assert (run.success, run.retries) == (True, 0)
    assert (run.metadata["attempt"], run.metadata["job_id"]) == (2, fake.jobs[1].id)
    assert [(row["attempt"], row["state"], row["error_class"]) for row in rows()] == [
        (1, "failed", "JobLost"),
        (2, "answered", None),
    ]


def test_a_job_that_is_lost_time_and_again_fails_the_step(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance
) -> None:
    flow.goes.clear()
    loser = threading.Thread(target=lose, args=(fake, flow, 3))
    loser.start()
    run = execute(instance, input_value="hi")
    loser.join()
    assert run.failure["error"] == "JobLost"
    assert [row["state"] for row in rows()] == ["failed"] * 3


def lose(fake: FakeLangflow, flow: Flow, times: int, how: str = "crash") -> None:
    """Let Langflow lose as many jobs, each time the newest while it runs; then let the flow go."""
    for number in range(times):
        wait_for("the job", lambda n=number: len(fake.jobs) > n and fake.jobs[n].state == "in_progress")
        getattr(fake, how)()
    flow.goes.set()


def test_a_job_that_failed_is_a_failure_and_a_retry_of_the_run_sends_anew(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance
) -> None:
    flow.raises = ComponentFailed("Model", "no such model")
    first = execute(instance, input_value="hi")
    assert (first.failure["error"], first.retries) == ("FlowFailed", 0)
    assert first.failure["mode"] == "job"
    flow.raises = None
    retry = execute(instance, parent=first, retry=True, input_value="hi")
    assert (retry.metadata["origin"], retry.metadata["attempt"]) == ("sent", 2)
    assert [row["state"] for row in rows()] == ["failed", "answered"]


def test_a_job_that_someone_stopped_in_langflow_is_recorded_as_cancelled(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance
) -> None:
    flow.goes.clear()

    def stop() -> None:
        wait_for("the job", lambda: fake.jobs and fake.jobs[0].state == "in_progress")
        with LangflowClient(fake.base_url, Access(api_key=fake.api_key)) as client:
            client.stop(fake.jobs[0].id)

    stopper = threading.Thread(target=stop)
    stopper.start()
    run = execute(instance, input_value="hi")
    stopper.join()
    assert run.failure["error"] == "JobCancelled"
    assert [row["state"] for row in rows()] == ["cancelled"]


def test_a_job_that_takes_too_long_is_stopped(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFLOW_JOB_TIMEOUT_SECONDS", "1")
    flow.goes.clear()
    run = execute(instance, input_value="hi")
    assert (run.failure["error"], run.retries) == ("CallTimeout", 0)
    assert "has been stopped" in run.failure["cause"]
    assert [job.state for job in fake.jobs] == ["cancelled"]
    assert [row["state"] for row in rows()] == ["failed"]


def test_a_job_that_waits_for_a_human_is_collected_after_the_decision(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    fake.behave(FLOW_ID, approve)
    first = execute(instance, input_value="hi")
    assert first.failure["error"] == "JobSuspended"
    assert "re-execute the run from failure" in first.failure["fix"]
    assert "it waits for a human's decision" in "".join(first.log)

    with LangflowClient(fake.base_url, Access(api_key=fake.api_key)) as client:
        (question,) = client.pending(FLOW_ID)
        client.resume(question, "approve")
    again = execute(instance, parent=first, tags={"dagster/is_resume_retry": "true"}, input_value="hi")
    assert (again.metadata["answer"], again.metadata["origin"]) == ("approved", "re-attached")
    assert len(fake.jobs) == 1


def test_a_job_that_waits_for_a_human_is_not_cancelled_by_another_call_of_its_flow(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    flow_id = fake.add_flow("approval", approve, flow=json.loads(APPROVAL.read_text()))
    first = execute(instance, input_value="hi", flow_id=flow_id)
    assert first.failure["error"] == "JobSuspended"
    execute(instance, input_value="ho", flow_id=flow_id)
    assert [job.state for job in fake.jobs] == ["suspended"] * 2

    retry = execute(instance, parent=first, retry=True, input_value="hi", flow_id=flow_id)
    assert retry.failure["error"] == "JobSuspended"
    assert len(fake.jobs) == 2


def test_a_session_that_was_asked_for_is_that_of_the_job_that_waits(
    fake: FakeLangflow, instance: dg.DagsterInstance
) -> None:
    flow_id = fake.add_flow("approval", approve, flow=json.loads(APPROVAL.read_text()))
    execute(instance, input_value="hi", flow_id=flow_id, session_id="s-1")
    assert [job.call.session_id for job in fake.jobs] == ["s-1"]


def approve(call: FakeCall) -> FakeAnswer:
    """Answer once a human has decided."""
    if call.decision is None:
        raise HumanNeeded("Shall it be sent?")
    return FakeAnswer(f"{call.decision}d")


def test_an_answer_that_may_be_cut_is_collected_by_a_retry_once_its_events_can_be_read(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_policy(monkeypatch, request_attempts=1)
    fake.script(*[Fault(path="/events", status=503)] * 4)
    long = "word " * 3000
    run = execute(instance, input_value=long)
    assert (run.metadata["answer"], run.metadata["origin"]) == (f"You said {long}.", "re-attached")
    assert len(fake.jobs) == 1


def test_a_langflow_that_is_away_while_a_job_runs_is_asked_again_by_the_step(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_policy(monkeypatch, outage_seconds=0.2)
    fake.script(
        Fault(path="/events", status=502, times=20),
        Fault(path="/api/v2/workflows", method="GET", status=502, times=2),
    )
    run = execute(instance, input_value="hi")
    assert run.success
    assert run.retries > 0
    assert (run.metadata["origin"], run.metadata["attempt"]) == ("re-attached", 1)
    assert len(fake.jobs) == 1


@pytest.mark.parametrize(
    ("setting", "config", "mode"),
    [
        ("auto", {}, "job"),
        ("auto", {"input_type": "text"}, "direct"),
        ("auto", {"output_type": "any"}, "direct"),
        ("auto", {"mode": "direct"}, "direct"),
        ("direct", {}, "direct"),
        ("direct", {"mode": "job"}, "job"),
        ("direct", {"mode": "auto"}, "job"),
        ("job", {}, "job"),
    ],
)
def test_the_mode_is_the_runs_else_the_settings(
    fake: FakeLangflow,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    config: dict[str, Any],
    mode: str,
) -> None:
    monkeypatch.setenv("LANGFLOW_MODE", setting)
    assert execute(instance, input_value="hi", **config).metadata.get("mode", "direct") == mode


def test_a_job_of_other_types_than_chat_is_refused_unsent(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    run: Ran = execute(instance, input_value="hi", mode="job", input_type="text")
    assert run.failure["error"] == "BadRequest"
    assert sends(fake) == []
