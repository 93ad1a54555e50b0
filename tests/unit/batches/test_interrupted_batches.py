"""Batches that are cancelled or killed: the next one goes on where they stopped, and pays for nothing twice."""

import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import select
from unit.batches.conftest import QUICK, Flow, ask, ledger_rows, reviews
from unit.calls.conftest import wait_for

from dagma.backends.langflow.langflow_resource import langflow_from_environment
from dagma.batches import asking
from dagma.batches.answer_table import AnswerTable
from dagma.batches.batch import Batch
from dagma.batches.batch_settings import BatchSettings
from dagma.batches.row_crew import Crew
from dagma.batches.tables_database import TablesDatabase
from dagma.calls.request import Caller
from dagma.ledger.grouped_ledger import GroupedLedger
from dagma.ledger.ledger_settings import ledger_from_environment
from dagma.ledger.reports import all_calls
from dagma.ledger.tables import shares
from dagma.testing import FakeLangflow

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, kw_only=True)
class CancelledCaller(Caller):
    """A run that is cancelled as soon as the event is set."""

    cancelled: threading.Event

    def sees_cancel(self) -> bool:
        return self.cancelled.is_set()


def ask_until(cancelled: threading.Event, database: TablesDatabase) -> None:
    """Ask twenty rows, in a run that is cancelled meanwhile."""
    batch = Batch(
        reviews(20),
        BatchSettings(key="id", input="{{ row.text }}"),
        backend=langflow_from_environment(QUICK),
        caller=CancelledCaller(scope="run", log=logging.getLogger(), cancelled=cancelled),
        table=AnswerTable(database, "labels"),
    )
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        list(batch.results())


def test_a_cancelled_batch_waits_for_no_call_and_the_next_one_finds_their_answers(
    fake: FakeLangflow, flow: Flow, database: TablesDatabase
) -> None:
    cancelled, goes_on = threading.Event(), threading.Event()

    def cancel_and_hang(asked: str) -> str:
        cancelled.set()
        goes_on.wait(30)
        return f"You said {asked}."

    flow.says = cancel_and_hang
    ask_until(cancelled, database)
    assert not goes_on.is_set()
    with ledger_from_environment().database.read() as connection:
        assert connection.scalar(select(shares.c.slots)) >= 1, "the calls that go on keep their slots for a while"
    goes_on.set()
    assert all(result.error is None for result in ask(reviews(20)).values())
    assert len(flow.inputs) == len(set(flow.inputs)) == 20


def test_a_cancelled_batch_takes_back_what_was_not_sent_though_a_thread_has_seen_the_cancel(
    fake: FakeLangflow, flow: Flow, database: TablesDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled, seen = threading.Event(), threading.Event()
    take = Crew.take

    def take_once_the_threads_have_seen_it(crew: Crew[Any, Any], seconds: float) -> Any:
        if cancelled.is_set():
            wait_for("the ends of the calls in flight", lambda: not crew.working)
            seen.set()
        return take(crew, seconds)

    def cancel_at_the_12th(asked: str) -> str:
        if len(flow.inputs) == 12:
            cancelled.set()
        return f"You said {asked}."

    flow.says = cancel_at_the_12th
    monkeypatch.setattr(Crew, "take", take_once_the_threads_have_seen_it)
    ask_until(cancelled, database)
    assert seen.is_set()
    assert {row["state"] for row in ledger_rows()} <= {"answered", "failed"}
    sent = len(flow.inputs)
    assert all(result.error is None for result in ask(reviews(20)).values())
    assert (sent <= 16, len(flow.inputs)) == (True, 20)


def test_a_cancelled_batch_does_not_wait_for_a_ledger_that_hangs(
    fake: FakeLangflow, flow: Flow, database: TablesDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled, goes_on, went_on = threading.Event(), threading.Event(), threading.Event()

    write = GroupedLedger._write_answered

    def hang(ledger: GroupedLedger, answered: Any) -> None:
        cancelled.set()
        goes_on.wait(30)
        went_on.set()
        write(ledger, answered)

    monkeypatch.setattr(GroupedLedger, "_write_answered", hang)
    monkeypatch.setattr(asking, "END_SECONDS", 0.1)
    ask_until(cancelled, database)
    assert not went_on.is_set()
    goes_on.set()
    ledger = ledger_from_environment().database
    wait_for("the end of the calls", lambda: all(row["state"] != "begun" for row in all_calls(ledger)))
    again = ask(reviews(20))
    assert [result.error for result in again.values() if result.error] == []
    assert len(flow.inputs) == len(set(flow.inputs)) == 20


KILLED = """
from dagma import ask_rows
rows = [{"id": n, "text": f"review {n}"} for n in range(1, 31)]
list(ask_rows(rows, key="id", input="{{ row.text }}", table="labels", concurrency=4))
"""


def test_a_batch_that_is_killed_leaves_no_file_and_goes_on_and_pays_for_nothing_twice(
    fake: FakeLangflow, flow: Flow, tmp_path: Path
) -> None:
    def kill_at_the_17th(asked: str) -> str:
        if len(flow.inputs) == 17:
            batch.kill()
        return f"You said {asked}."

    flow.says = kill_at_the_17th
    storage = tmp_path / "storage"
    storage.mkdir()
    folders = dict.fromkeys(("DAGMA_STORAGE_DIR", "TMPDIR"), str(storage))
    batch = subprocess.Popen(
        [sys.executable, "-c", KILLED], env={**os.environ, **folders, "PYTHONPATH": str(ROOT / "src")}, cwd=ROOT
    )
    assert batch.wait(120) == -signal.SIGKILL
    assert list(storage.iterdir()) == []
    assert 17 <= len(flow.inputs) <= 20
    # Those that were in flight are found by their sessions, and the others are asked.
    results = ask(reviews(30))
    assert all(result.error is None for result in results.values())
    assert sorted(flow.inputs) == sorted(f"review {number}" for number in range(1, 31)), "each once"
