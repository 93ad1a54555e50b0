"""The limits of a server: all batches together keep to them, and leave room for calls of their own."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from unit.batches.conftest import QUICK, Flow, ask, reviews, sends

from dagma.backends.langflow.langflow_resource import langflow_from_environment
from dagma.batches.batch import Batch
from dagma.batches.batch_settings import BatchSettings
from dagma.batches.tables_database import TablesDatabase
from dagma.testing import FakeLangflow, Fault


def test_a_server_that_refuses_a_call_is_asked_by_fewer(fake: FakeLangflow, database: TablesDatabase) -> None:
    fake.script(Fault(path="/api/v1/run", status=429, headers={"Retry-After": "0"}))
    batch = Batch(
        reviews(6),
        BatchSettings(key="id", input="{{ row.text }}"),
        backend=langflow_from_environment(QUICK),
    )
    assert len(list(batch.results())) == 6
    assert batch.progress.level == 1, "half of what it begins with"


def test_all_batches_together_keep_to_the_limit_of_the_server_and_leave_room(
    fake: FakeLangflow, flow: Flow, database: TablesDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_MAX_IN_FLIGHT", "4")
    in_flight, seen, lock = 0, [], threading.Lock()

    def busy(asked: str) -> str:
        nonlocal in_flight
        with lock:
            in_flight += 1
            seen.append(in_flight)
        time.sleep(0.2)
        with lock:
            in_flight -= 1
        return asked

    flow.says = busy
    with ThreadPoolExecutor(3) as pool:
        tables = list(pool.map(lambda name: ask(reviews(4), table=name), ("one", "two", "three")))
    assert [len(table) for table in tables] == [4] * 3
    assert max(seen) <= 3


def test_a_call_of_its_own_waits_for_no_row(
    fake: FakeLangflow, flow: Flow, database: TablesDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_MAX_IN_FLIGHT", "1")
    has_begun, go_on = threading.Event(), threading.Event()

    def says(asked: str) -> str:
        if asked != "alone":
            has_begun.set()
            assert go_on.wait(20)
        return asked

    flow.says = says
    backend = langflow_from_environment(QUICK)
    with ThreadPoolExecutor(1) as pool:
        batch = pool.submit(ask, reviews(2))
        assert has_begun.wait(20)
        answer = backend.read(backend.run_flow("alone"))
        was_done = batch.done()
        go_on.set()
        assert (answer.text, was_done, len(batch.result())) == ("alone", False, 2)


def test_rows_of_all_batches_begin_no_faster_than_allowed(
    fake: FakeLangflow, database: TablesDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_MAX_PER_SECOND", "40")
    begun = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: ask(reviews(10), table=name), ("one", "two")))
    assert len(sends(fake)) == 20
    assert time.monotonic() - begun >= 19 / 40
