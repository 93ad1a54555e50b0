"""Jobs that a cancelled run has left running, and what the sensor makes of them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorEvaluationContext
from typing_extensions import override
from unit.calls.conftest import Flow, Ran, execute, rows, wait_for

from dagma.backends.backend import Backend
from dagma.backends.langflow.langflow_jobs import LangflowJobs
from dagma.backends.langflow.langflow_resource import LangflowRestResource, langflow_from_environment
from dagma.calls import leftover_jobs
from dagma.calls.durable_call import DurableCall
from dagma.calls.request import CallRequest
from dagma.defs.llm import sensors
from dagma.execution import sweep
from dagma.langflow import Forbidden, JobNotFound, ServerError
from dagma.ledger import Call, LedgerError
from dagma.ledger.ledger_settings import ledger_from_environment
from dagma.testing import ComponentFailed, FakeLangflow, Fault

YOUNGEST = leftover_jobs.YOUNGEST
RETRY = {"dagster/retry_number": "1"}
STOP = "/api/v2/workflows/stop"
UNKNOWN_JOB = Fault(path=STOP, status=404, body={"detail": {"code": "JOB_NOT_FOUND"}})
Leave = Callable[[], Ran]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, fake: FakeLangflow) -> None:
    monkeypatch.setattr(leftover_jobs, "YOUNGEST", timedelta(0))
    monkeypatch.setenv("LANGFLOW_MODE", "job")


@pytest.fixture
def leave_job(fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Leave:
    """Give a function that runs the asset until its job runs, then fails the run as one whose worker died."""
    flow.goes.clear()

    def leave() -> Ran:
        def die(_: DurableCall, job_id: str) -> None:
            raise dg.DagsterExecutionInterruptedError(job_id)

        with monkeypatch.context() as patch:
            patch.setattr(DurableCall, "follow", die)
            run = execute(instance, input_value="hi")
        wait_for("the job", lambda: fake.jobs[-1].state == "in_progress")
        assert (run.status, rows()[-1]["state"]) == (dg.DagsterRunStatus.FAILURE, "submitted")
        return run

    return leave


def run_after(
    instance: dg.DagsterInstance,
    parent: dg.DagsterRun,
    *,
    tags: dict[str, str] | None = None,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTING,
) -> dg.DagsterRun:
    """Store a run that executes another one again, by default all of its steps, and that no worker has had."""
    root = parent.root_run_id or parent.run_id
    run = dg.DagsterRun(
        job_name=parent.job_name,
        status=status,
        tags={"dagster/parent_run_id": parent.run_id, "dagster/root_run_id": root, **(tags or {})},
        parent_run_id=parent.run_id,
        root_run_id=root,
    )
    instance.add_run(run)
    return run


def evaluate(
    instance: dg.DagsterInstance, cursor: str | None = None, backend: Backend | None = None
) -> tuple[str | None, str]:
    """Evaluate the sensor as the code server does; give the new cursor, and what the tick says."""
    sensor = sensors.cancelled_jobs
    defs = dg.Definitions(sensors=[sensor], resources={"backend": backend or langflow_from_environment()})
    repository = defs.get_repository_def()
    with dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=repository) as context:
        tick = sensor.evaluate_tick(context)
    return tick.cursor, tick.skip_message or ""


def told(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """What the run's log says of calls that the sensor has ended."""
    events = [record.dagster_event for record in instance.all_logs(run.run_id)]
    messages = [event.message or "" for event in events if event is not None]
    return [message for message in messages if message.startswith("The run was cancelled, and no worker")]


def states(fake: FakeLangflow) -> tuple[list[str], list[str]]:
    """The states of the jobs in Langflow, and of their rows in the ledger."""
    return [job.state for job in fake.jobs], [row["state"] for row in rows()]


def stops(fake: FakeLangflow) -> int:
    return len([request for request in fake.requests if request.path == STOP])


STOPPED = (["cancelled"], ["cancelled"])
UNTOUCHED = (["in_progress"], ["submitted"])


def test_the_job_of_a_run_that_is_cancelled_after_its_worker_died_is_stopped(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    left = leave_job()
    instance.report_run_canceled(left.run)
    cursor, said = evaluate(instance)
    assert states(fake) == STOPPED
    assert said == f"Job {fake.jobs[0].id} is stopped."
    call_id, job_id = rows()[0]["id"], fake.jobs[0].id
    once = [f"The run was cancelled, and no worker has ended its call {call_id}: job {job_id} is stopped."]
    assert told(instance, left.run) == once
    assert evaluate(instance, cursor)[1] == "No cancelled run has left a job."
    assert told(instance, left.run) == once


def test_the_job_of_a_run_whose_queued_retry_is_cancelled_is_stopped(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    second = run_after(instance, leave_job().run, tags=RETRY, status=dg.DagsterRunStatus.FAILURE)
    third = run_after(instance, second, tags=RETRY)
    instance.report_run_canceled(third)
    evaluate(instance)
    assert states(fake) == STOPPED
    assert len(told(instance, third)) == 1


def test_the_job_of_a_run_that_was_deleted_since_is_stopped_with_its_retry(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    left = leave_job()
    retry = run_after(instance, left.run, tags=RETRY)
    instance.delete_run(left.run.run_id)
    instance.report_run_canceled(retry)
    evaluate(instance)
    assert states(fake) == STOPPED


@pytest.mark.parametrize("status", ["STARTING", "STARTED", "FAILURE", "SUCCESS"])
def test_a_newer_retry_decides_what_becomes_of_the_job(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave, status: str
) -> None:
    left = leave_job()
    instance.report_run_canceled(left.run)
    run_after(instance, left.run, tags=RETRY, status=dg.DagsterRunStatus(status))
    assert evaluate(instance)[0] is not None
    assert states(fake) == UNTOUCHED


def test_an_older_run_that_goes_on_keeps_its_job(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    left = leave_job()
    retry = run_after(instance, left.run, tags=RETRY)
    instance.report_run_canceling(left.run)
    instance.report_run_canceled(retry)
    evaluate(instance)
    assert states(fake) == UNTOUCHED


def test_a_run_that_starts_over_neither_ends_the_jobs_of_the_run_before_nor_keeps_them(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    left = leave_job()
    instance.report_run_canceled(run_after(instance, left.run))
    evaluate(instance)
    assert states(fake) == UNTOUCHED

    instance.report_run_canceled(left.run)
    run_after(instance, left.run, status=dg.DagsterRunStatus.STARTED)
    evaluate(instance)
    assert states(fake) == STOPPED


def test_a_run_that_nobody_cancelled_keeps_its_job(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    leave_job()
    evaluate(instance)
    assert states(fake) == UNTOUCHED


def test_an_answer_that_came_before_is_kept_for_a_retry(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    left = leave_job()
    flow.goes.set()
    wait_for("the answer", lambda: fake.jobs[0].state == "completed")
    instance.report_run_canceled(left.run)
    evaluate(instance)
    assert [(row["state"], row["total_tokens"]) for row in rows()] == [("answered", 38)]
    assert "its answer is kept" in told(instance, left.run)[0]

    retry = execute(instance, parent=left, retry=True, input_value="hi")
    assert (retry.metadata["origin"], retry.metadata["answer"]) == ("replayed", "You said hi.")
    assert len(fake.jobs) == 1


def test_a_job_that_failed_before_is_recorded_as_failed(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    left = leave_job()
    flow.raises = ComponentFailed("Model", "no such model")
    flow.goes.set()
    wait_for("the failure", lambda: fake.jobs[0].state == "failed")
    instance.report_run_canceled(left.run)
    assert evaluate(instance)[0] is not None
    assert [(row["state"], row["error_class"]) for row in rows()] == [("failed", "FlowFailed")]
    assert "no such model" in told(instance, left.run)[0]


def test_a_langflow_that_is_away_is_asked_again_and_the_other_jobs_are_stopped(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    runs = [leave_job().run for _ in range(2)]
    for run in runs:
        instance.report_run_canceled(run)
    fake.script(Fault(path=STOP, status=502, times=2))  # what the client tries for the first job
    cursor = datetime.now(UTC).isoformat()
    with pytest.raises(ServerError):
        evaluate(instance, cursor)
    assert sorted(states(fake)[1]) == ["cancelled", "submitted"]

    evaluate(instance, cursor)
    assert states(fake) == (["cancelled"] * 2, ["cancelled"] * 2)
    assert [len(told(instance, run)) for run in runs] == [1, 1]


def test_a_job_that_ended_and_can_not_be_collected_yet_is_asked_for_again(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    left = leave_job()
    flow.goes.set()
    wait_for("the answer", lambda: fake.jobs[0].state == "completed")
    instance.report_run_canceled(left.run)
    fake.script(
        Fault(path="/api/v2/workflows", method="GET", status=403, body={"detail": "Invalid or missing API key"})
    )
    with pytest.raises(Forbidden):
        evaluate(instance)
    assert told(instance, left.run) == []

    evaluate(instance)
    assert [row["state"] for row in rows()] == ["answered"]


def test_a_job_that_langflow_does_not_know_is_unknown_and_not_asked_for_again(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    left = leave_job()
    instance.report_run_canceled(left.run)
    fake.script(UNKNOWN_JOB)
    cursor, _ = evaluate(instance)
    assert cursor is not None
    assert [(row["state"], row["error_class"]) for row in rows()] == [("unknown", "JobNotFound")]
    assert "can't be stopped" in told(instance, left.run)[0]
    asked = stops(fake)
    evaluate(instance, cursor)
    assert stops(fake) == asked


def test_a_ledger_that_is_away_fails_the_tick_and_keeps_the_cursor(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.report_run_canceled(leave_job().run)
    with monkeypatch.context() as patch:
        patch.setenv("DAGMA_LEDGER_URL", "postgresql://nobody@127.0.0.1:1/none")
        with pytest.raises(LedgerError):
            evaluate(instance)
    assert states(fake) == UNTOUCHED
    evaluate(instance)
    assert states(fake) == STOPPED


def test_an_end_that_the_ledger_does_not_take_is_asked_for_again(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise LedgerError("The database is away.")

    left = leave_job()
    instance.report_run_canceled(left.run)
    fake.script(UNKNOWN_JOB)
    with monkeypatch.context() as patch:
        patch.setattr(type(ledger_from_environment()), "unknown", refuse)
        with pytest.raises(JobNotFound):
            evaluate(instance)
    assert told(instance, left.run) == []
    evaluate(instance)
    assert states(fake) == STOPPED


def test_a_worker_that_ends_the_same_job_in_the_same_moment_is_no_trouble(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave_job()
    instance.report_run_canceled(left.run)
    stop = LangflowJobs.stop

    def stop_second(jobs: LangflowJobs, job_id: str) -> bool:
        ledger = ledger_from_environment()
        (begun,) = ledger.submitted_jobs([left.run.run_id])
        assert stop(jobs, job_id)
        ledger.cancelled(begun)
        return stop(jobs, job_id)

    monkeypatch.setattr(LangflowJobs, "stop", stop_second)
    assert evaluate(instance)[0] is not None
    assert states(fake) == STOPPED


class Direct(Backend):
    """A backend without jobs."""

    @override
    def answer(self, request: CallRequest) -> dict[str, Any]:
        return {"text": request.input_value}


class OtherLangflow(LangflowRestResource):
    """Another backend with jobs."""

    @property
    @override
    def backend_name(self) -> str:
        return "another"


@pytest.mark.parametrize("backend", [Direct(), OtherLangflow()], ids=["without jobs", "with jobs of its own"])
def test_the_jobs_of_another_backend_are_left_alone(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave, backend: Backend
) -> None:
    instance.report_run_canceled(leave_job().run)
    cursor, said = evaluate(instance, backend=backend)
    assert (cursor is not None, said) == (True, "No cancelled run has left a job.")
    assert states(fake) == UNTOUCHED
    assert stops(fake) == 0


def test_settings_that_can_not_be_used_disturb_nobody_before_there_is_something_to_stop(
    instance: dg.DagsterInstance, leave_job: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    backend = LangflowRestResource(api_key=dg.EnvVar("NOT_SET"))
    left = leave_job()
    assert evaluate(instance, backend=backend)[1] == "No cancelled run has left a job."
    instance.report_run_canceled(left.run)
    with pytest.raises(Exception, match="NOT_SET"):
        evaluate(instance, backend=backend)


def test_a_call_whose_job_has_no_id_yet_is_left_as_it_is(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave
) -> None:
    left = leave_job()
    ledger_from_environment().begin(
        Call(flow_id="flow", input_hash="hash", scope=left.run.run_id, mode="job", run_id=left.run.run_id)
    )
    instance.report_run_canceled(left.run)
    assert evaluate(instance)[0] is not None
    assert states(fake) == (["cancelled"], ["cancelled", "begun"])


def test_more_jobs_than_the_ledger_lists_at_a_time_are_all_ended(
    instance: dg.DagsterInstance, leave_job: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "SETTLING_SECONDS", 600.0)
    run = leave_job().run
    ledger = ledger_from_environment()
    for number in range(100):
        call = Call(flow_id="flow", input_hash=str(number), scope=run.run_id, mode="job", run_id=run.run_id)
        ledger.submitted(ledger.begin(call), str(uuid4()))
    assert len(ledger.submitted_jobs([run.run_id])) == 100
    instance.report_run_canceled(run)
    evaluate(instance)
    assert ledger.submitted_jobs([run.run_id]) == []


def test_a_fresh_cancel_is_left_to_a_worker_that_may_have_the_run(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.report_run_canceled(leave_job().run)
    monkeypatch.setattr(leftover_jobs, "YOUNGEST", timedelta(seconds=30))
    cursor, _ = evaluate(instance)
    assert states(fake) == UNTOUCHED
    monkeypatch.setattr(leftover_jobs, "YOUNGEST", timedelta(0))
    evaluate(instance, cursor)
    assert states(fake) == STOPPED
    assert YOUNGEST < sweep.OVERLAP


def test_an_evaluation_leaves_to_the_next_what_it_has_no_time_for(
    fake: FakeLangflow, instance: dg.DagsterInstance, leave_job: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave_job()
    instance.report_run_canceled(left.run)
    monkeypatch.setattr(sweep, "SETTLING_SECONDS", -1.0)
    cursor, said = evaluate(instance)
    assert (cursor, left.run.run_id in said) == (None, True)
    assert states(fake) == UNTOUCHED
    monkeypatch.setattr(sweep, "SETTLING_SECONDS", 20.0)
    evaluate(instance, cursor)
    assert states(fake) == STOPPED


@pytest.mark.parametrize(
    ("cursor", "oldest"),
    [(timedelta(hours=1), timedelta(hours=24)), (timedelta(hours=-48), timedelta(0)), (None, timedelta(0))],
    ids=["before the last evaluation", "too long ago after failures", "too long ago at first"],
)
def test_runs_from_long_before_are_not_looked_at(
    fake: FakeLangflow,
    instance: dg.DagsterInstance,
    leave_job: Leave,
    monkeypatch: pytest.MonkeyPatch,
    cursor: timedelta | None,
    oldest: timedelta,
) -> None:
    instance.report_run_canceled(leave_job().run)
    monkeypatch.setattr(leftover_jobs, "OLDEST", oldest)
    evaluate(instance, (datetime.now(UTC) + cursor).isoformat() if cursor is not None else None)
    assert states(fake) == UNTOUCHED


def test_the_ledger_is_not_asked_for_runs_that_can_not_have_made_a_call(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = dg.DagsterRun(job_name="job", status=dg.DagsterRunStatus.STARTING)
    instance.add_run(queued)
    instance.report_run_canceled(queued)
    monkeypatch.setattr(leftover_jobs, "ledger_from_environment", lambda: pytest.fail("asked"))
    assert evaluate(instance, backend=Direct())[0] is not None


@pytest.mark.parametrize("sensor", [sensors.cancelled_jobs, sensors.lost_retries], ids=["jobs", "retries"])
def test_an_evaluation_leaves_no_file(instance_on_disk: dg.DagsterInstance, sensor: dg.SensorDefinition) -> None:
    home = instance_on_disk.get_ref()
    with SensorEvaluationContext(home, log_key=["repository", sensor.name, "1"], sensor_name=sensor.name) as context:
        assert sensor.evaluate_tick(context).skip_message
    assert not list(Path(instance_on_disk.storage_directory()).rglob("1.*"))
