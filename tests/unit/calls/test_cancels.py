"""Cancels beside the plain one: of calls in threads, of runs marked by force, and in the wait for a retry."""

import contextvars
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from unit.calls.conftest import ASSET, Flow, asset_job, execute, rows, sends, wait_for

from dagma.backends.backend import Backend
from dagma.calls import request as request_module
from dagma.calls import retrying
from dagma.calls.request import Caller
from dagma.testing import FakeLangflow, Fault


@pytest.fixture
def instance(instance_on_disk: dg.DagsterInstance) -> dg.DagsterInstance:
    """An instance on disk, as others can cancel its runs."""
    return instance_on_disk


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_module, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(request_module, "POLL_SECONDS", 0.1)


@contextmanager
def cancelled(
    instance: dg.DagsterInstance, is_time: Callable[[], Any], then: Callable[[], Any], *, by_force: bool = False
) -> Iterator[None]:
    """Cancel the run of the block at a moment, without the interrupt that a worker's main thread gets."""

    def cancel() -> None:
        wait_for("the moment", is_time)
        (run,) = instance.get_runs()
        report = instance.report_run_canceled if by_force else instance.report_run_canceling
        report(run)
        then()

    thread = threading.Thread(target=cancel)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize(("raised", "state"), [(None, "answered"), (ValueError("no such model"), "failed")], ids=str)
def test_a_run_that_is_marked_as_cancelled_materializes_nothing_and_keeps_what_became_of_its_call(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, raised: Exception | None, state: str
) -> None:
    flow.goes.clear()
    flow.raises = raised
    with cancelled(instance, lambda: sends(fake), flow.goes.set, by_force=True):
        run = execute(instance, input_value="hi")
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert instance.get_latest_materialization_event(dg.AssetKey(ASSET)) is None
    assert [row["state"] for row in rows()] == [state]


def test_the_job_of_a_run_that_is_marked_as_cancelled_is_stopped(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance
) -> None:
    flow.goes.clear()
    with cancelled(instance, lambda: running(fake, 1), lambda: None, by_force=True):
        run = execute(instance, input_value="hi", mode="job")
    assert [job.state for job in fake.jobs] == ["cancelled"]
    assert [row["state"] for row in rows()] == ["cancelled"]
    assert run.status is dg.DagsterRunStatus.CANCELED


@dg.asset
def batch(context: dg.AssetExecutionContext, backend: Backend) -> None:
    mode: Any = context.run.tags["mode"]
    with ThreadPoolExecutor(2) as threads:
        asked = [
            threads.submit(contextvars.copy_context().run, lambda row=row: backend.run_flow("hi", mode=mode, row=row))  # type: ignore[misc]
            for row in "0123456789"
        ]
    for each in asked:
        each.result()


@pytest.mark.parametrize(("mode", "state"), [("direct", "answered"), ("job", "cancelled")])
def test_a_cancelled_run_sends_no_more_calls_of_its_threads_and_stops_their_jobs(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, mode: str, state: str
) -> None:
    flow.goes.clear()
    is_time = (lambda: len(sends(fake)) == 2) if mode == "direct" else lambda: running(fake, 2)
    with cancelled(instance, is_time, flow.goes.set if mode == "direct" else lambda: None):
        run = execute(instance, job=asset_job(None, batch), tags={"mode": mode})
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert len(sends(fake)) == 2
    assert [job.state for job in fake.jobs] == (["cancelled"] * 2 if mode == "job" else [])
    assert [row["state"] for row in rows()] == [state] * 2


def interrupt() -> None:
    """Do what a worker does to the run's main thread, on a cancel."""
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once the step waits for its retry."""
    waiting = threading.Event()

    def sleep(seconds: float) -> None:
        waiting.set()
        time.sleep(seconds)

    monkeypatch.setattr(retrying, "time", SimpleNamespace(sleep=sleep))
    return waiting


def test_a_cancel_is_heard_while_the_step_waits_for_its_retry(
    fake: FakeLangflow, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, waiting: threading.Event
) -> None:
    monkeypatch.setenv("LANGFLOW_TIMEOUT_SECONDS", "0.9")
    fake.script(Fault(path="/api/v1/run", status=429, headers={"Retry-After": "20"}))
    with cancelled(instance, waiting.is_set, interrupt):
        run = execute(instance, input_value="hi")
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert (len(sends(fake)), run.retries) == (1, 0)


def running(fake: FakeLangflow, number: int) -> bool:
    """Whether as many jobs run, and are followed."""
    followers = [request for request in fake.requests if request.path.endswith("/events")]
    return [job.state for job in fake.jobs] == ["in_progress"] * number and len(followers) >= number


def caller(instance: dg.DagsterInstance) -> Caller:
    return Caller(scope="run", log=logging.getLogger("test"), run_id="a-run", instance=instance)


def test_the_calls_of_a_run_ask_for_its_status_now_and_then(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_module, "FRESH_SECONDS", 3600.0)
    asked: list[str] = []
    monkeypatch.setattr(type(instance), "get_run_by_id", lambda _, run_id: asked.append(run_id))
    for _ in range(3):
        caller(instance).stop_if_cancelled()
    assert asked == ["a-run"]


def test_a_call_goes_on_while_dagster_can_not_be_asked(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise ConnectionError("The database is away.")

    monkeypatch.setattr(type(instance), "get_run_by_id", away)
    caller(instance).stop_if_cancelled()


def test_a_run_in_memory_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(type(instance), "get_run_by_id", lambda *_: pytest.fail("looked at"))
        caller(instance).stop_if_cancelled()
