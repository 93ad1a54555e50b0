"""Batches over a fake Langflow, with a ledger and tables on SQLite."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dagma.backends.langflow.langflow_resource import langflow_from_environment
from dagma.batches import row_calls
from dagma.batches.answer_table import AnswerTable
from dagma.batches.ask_rows import ask_rows
from dagma.batches.row_result import RowResult
from dagma.batches.tables_database import TablesDatabase, tables_from_environment
from dagma.calls.call_policy import CallPolicy
from dagma.ledger.ledger_settings import ledger_from_environment
from dagma.ledger.reports import all_calls
from dagma.testing import FakeAnswer, FakeCall, FakeLangflow, RecordedRequest

FLOW_ID = "5c0ffee0-3333-4000-8000-000000000001"


class Flow:
    """What the fake flow does: say what `says` gives for the input, and remember the inputs."""

    def __init__(self) -> None:
        self.inputs: list[str] = []
        self.says: Callable[[str], str] = lambda asked: f"You said {asked}."

    def __call__(self, call: FakeCall) -> FakeAnswer:
        self.inputs.append(call.input_value)
        return FakeAnswer(self.says(call.input_value), model="gpt-4o", input_tokens=30, output_tokens=8)


@pytest.fixture
def flow() -> Flow:
    return Flow()


@pytest.fixture
def databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that points to a ledger and to tables of the test's own, and to nothing else."""
    for name in [name for name in os.environ if name.startswith(("DAGMA_", "LANGFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DAGMA_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    monkeypatch.setenv("DAGMA_TABLES_URL", f"sqlite:///{tmp_path}/tables.db")


@pytest.fixture
def fake(flow: Flow, databases: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLangflow]:
    """A fake Langflow, and an environment that points to it."""
    with FakeLangflow() as fake:
        fake.add_flow("classify", flow, flow_id=FLOW_ID)
        monkeypatch.setenv("LANGFLOW_BASE_URL", fake.base_url)
        monkeypatch.setenv("LANGFLOW_API_KEY", fake.api_key)
        monkeypatch.setenv("LANGFLOW_DEFAULT_FLOW_ID", FLOW_ID)
        yield fake


QUICK = CallPolicy(first_step_wait_seconds=0.01, step_retries=1)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_calls, "MAX_RETRIES", 1)


@pytest.fixture
def database(databases: None) -> TablesDatabase:
    return tables_from_environment()


def ask(rows: Any, **options: Any) -> dict[str, RowResult]:
    """Ask rows of the table `labels`, and give the results by key."""
    defaults = {"key": "id", "input": "{{ row.text }}", "table": "labels"}
    if "backend" not in options:
        defaults["backend"] = langflow_from_environment(QUICK)
    return {result.key: result for result in ask_rows(rows, **{**defaults, **options})}


def ledger_rows() -> list[dict[str, Any]]:
    """The calls that the ledger has."""
    return [dict(row) for row in all_calls(ledger_from_environment().database)]


def sends(fake: FakeLangflow) -> list[RecordedRequest]:
    """The requests that run a flow."""
    return [request for request in fake.requests if request.path.startswith("/api/v1/run")]


def stored(database: TablesDatabase, name: str, *columns: str) -> list[dict[str, Any]]:
    """The rows of a table."""
    return list(AnswerTable(database, name).rows(columns or None))


def reviews(count: int, *, first: int = 1) -> list[dict[str, Any]]:
    """Rows with a text each."""
    return [{"id": number, "text": f"review {number}"} for number in range(first, first + count)]


def labels(asked: str) -> str:
    """A model that labels what it is asked."""
    return json.dumps({"label": "negative" if "bad" in asked else "positive", "reason": "as it says"})
