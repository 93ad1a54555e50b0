"""A table while its flow, its input or its partitions change, and while other batches write to it."""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import PrivateAttr
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from unit.batches.conftest import ask, ledger_rows, reviews, stored

from dagma import Backend, CallRequest
from dagma.batches.answer_table import AnswerTable
from dagma.batches.batch import Batch
from dagma.batches.batch_settings import BatchSettings
from dagma.batches.errors import BatchStopped, FlowChanged
from dagma.batches.tables_database import TablesDatabase
from dagma.calls.request import Caller, FlowReference
from dagma.langflow import Unreachable
from dagma.ledger import Usage


class Edited(Backend):
    """A flow in versions, each of whose answers tells the version."""

    _version: str = "v1"
    _at: str = ""
    _asked: list[str] = PrivateAttr(default_factory=list)

    def answer(self, request: CallRequest) -> dict[str, Any]:
        said = f"{self._version} said {request.input_value}"
        self._asked.append(request.input_value)
        if request.input_value == self._at:
            self._version = "v2"
        return {"text": said}

    def default_flow(self) -> str:
        return "edited"

    def look_up(self, flow_id: str) -> FlowReference:
        return FlowReference(flow_id, version=self._version)


@pytest.fixture
def edited(databases: None) -> Edited:
    return Edited()


def batch(
    rows: Any,
    table: AnswerTable,
    backend: Backend,
    partition: tuple[str, str] | None = None,
    retry_number: int = 0,
    **options: Any,
) -> Batch:
    """A batch of a table or of one of its partitions, as an asset makes it."""
    settings = BatchSettings(key="id", input="{{ row.text }}", concurrency=1, **options)
    caller = replace(Caller.current(None), run_id="a-run", retry_number=retry_number)
    return Batch(rows, settings, backend=backend, caller=caller, table=table, partition=partition)


def answers(database: TablesDatabase) -> dict[Any, str]:
    return {row["id"]: row["answer"] for row in stored(database, "labels")}


def test_a_flow_that_is_edited_meanwhile_ends_the_batch_and_no_answer_counts_as_another_versions(
    edited: Edited, database: TablesDatabase
) -> None:
    edited._at = "review 2"
    with pytest.raises(FlowChanged, match="'edited' was edited while its rows were asked"):
        ask(reviews(6), backend=edited, concurrency=1)
    assert answers(database) == {1: "v1 said review 1", 2: "v1 said review 2"}
    ask(reviews(6), backend=edited, concurrency=1)
    assert set(answers(database).values()) == {f"v2 said review {number}" for number in range(1, 7)}
    edited._version, edited._at = "v1", ""
    ask(reviews(6), backend=edited)
    assert set(answers(database).values()) == {f"v1 said review {number}" for number in range(1, 7)}
    assert len(edited._asked) == 2 + 6 + 4, "the ledger has the two first answers of v1"


def test_a_table_that_is_partitioned_later_has_each_row_once(edited: Edited, database: TablesDatabase) -> None:
    rows = [{"id": 1, "text": "eins", "country": "de"}, {"id": 2, "text": "un", "country": "fr"}]
    everything = AnswerTable(database, "labels")
    german = AnswerTable(database, "labels", "de")
    list(batch(rows, everything, edited).results())
    list(batch(rows, german, edited, ("country", "de")).results())
    assert [row["answer"] for row in everything.rows()] == ["v1 said eins"]
    list(batch(rows[1:], everything, edited).results())
    assert [row["answer"] for row in everything.rows()] == ["v1 said un"]
    assert everything.count() == 1


def test_rows_that_a_later_batch_has_added_do_not_vanish_with_the_end_of_an_earlier_one(
    edited: Edited, database: TablesDatabase
) -> None:
    table = AnswerTable(database, "labels")
    earlier = batch(reviews(2), table, edited).results()
    next(earlier)
    list(batch(reviews(4), AnswerTable(database, "labels"), edited).results())
    list(earlier)
    assert sorted(answers(database)) == [1, 2, 3, 4]


def test_two_batches_may_make_a_table_at_the_same_time(
    edited: Edited, database: TablesDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_have_looked = threading.Barrier(2)
    found = AnswerTable._found

    def look(table: AnswerTable) -> Any:
        known = found(table)
        if known is None and both_have_looked.n_waiting < 2 and not both_have_looked.broken:
            both_have_looked.wait(10)
        return known

    monkeypatch.setattr(AnswerTable, "_found", look)
    failures: list[Exception] = []
    ids: list[str] = []

    def prepare() -> None:
        try:
            ids.append(AnswerTable(database, "labels").prepare({"id": "integer"}, {"answer": "text"})[0])
        except Exception as error:  # noqa: BLE001 (shown by the test)
            failures.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(ids)) == 1, "they share their answers"


def test_a_batch_that_makes_the_first_table_while_another_does_tries_again(database: TablesDatabase) -> None:
    made: list[str] = []

    def as_postgresql_does(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "CREATE TABLE IF NOT EXISTS" in statement:
            made.append(statement)
            if len(made) == 1:
                raise IntegrityError(statement, None, Exception("duplicate key value"))

    event.listen(database.engine, "before_cursor_execute", as_postgresql_does)
    AnswerTable(database, "labels").prepare({"id": "integer"}, {"answer": "text"})
    assert (len(made), stored(database, "labels")) == (2, [])


def test_a_table_that_was_dropped_starts_over_in_each_of_its_partitions(
    edited: Edited, database: TablesDatabase
) -> None:
    rows = [{"id": 1, "text": "eins", "country": "de"}, {"id": 2, "text": "un", "country": "fr"}]

    def ask_partitions() -> None:
        for country in ("de", "fr"):
            list(batch(rows, AnswerTable(database, "labels", country), edited, ("country", country)).results())

    ask_partitions()
    with database.begin() as connection:
        connection.exec_driver_sql("DROP TABLE labels")
    ask_partitions()
    assert edited._asked == ["eins", "un"] * 2


def test_a_time_belongs_to_the_partition_of_its_day(edited: Edited, database: TablesDatabase) -> None:
    rows = [
        {"id": 1, "text": "x", "day": datetime(2026, 1, 31, 12, tzinfo=UTC)},
        {"id": 2, "text": "y", "day": "2026-02-01"},
    ]
    list(batch(rows, AnswerTable(database, "labels", "2026-01-31"), edited, ("day", "2026-01-31")).results())
    assert answers(database) == {1: "v1 said x"}


def test_a_partition_that_no_row_is_of_is_told(
    edited: Edited, database: TablesDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"id": 1, "text": "x", "day": "31.1.2026"}]
    list(batch(rows, AnswerTable(database, "labels", "2026-01-31"), edited, ("day", "2026-01-31")).results())
    assert "in the column 'day', none of 1 rows has the partition's key '2026-01-31'" in caplog.text


class Priced(Edited):
    """Answers that cost 0.0025 USD each, and fail from some question on."""

    _fails_at: str = ""

    def answer(self, request: CallRequest) -> dict[str, Any]:
        if request.input_value == self._fails_at:
            raise Unreachable("The server is away.", outcome="not_run")
        return super().answer(request) | {"usage": [{"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 0}]}


class FailingAtACost(Edited):
    """Fails after a model was paid."""

    def answer(self, request: CallRequest) -> dict[str, Any]:
        self._asked.append(request.input_value)
        raise ValueError("The parser failed.")

    def explain(self, error: Exception) -> Any:
        explained = super().explain(error)
        explained.outcome = "failed"
        return explained

    def spent(self, error: Exception) -> tuple[Usage, ...]:  # noqa: ARG002
        return (Usage(model="gpt-4o", input_tokens=10_000, output_tokens=1_000),)


@pytest.fixture
def table(database: TablesDatabase) -> AnswerTable:
    return AnswerTable(database, "labels")


def test_what_failed_calls_cost_counts_for_the_limit(table: AnswerTable, databases: None) -> None:
    backend = FailingAtACost()
    asked = batch(reviews(20), table, backend, max_cost_usd=0.08)
    with pytest.raises(BatchStopped, match=r"0\.0700 USD are spent"):
        list(asked.results())
    assert len(backend._asked) == 2
    assert asked.progress.cost_usd == pytest.approx(sum(float(row["cost"]) for row in ledger_rows()))


def test_what_an_earlier_attempt_of_the_step_has_paid_counts_for_the_limit(
    table: AnswerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dagma.batches.row_calls.MAX_RETRIES", 0)
    backend = Priced()
    backend._fails_at = "review 4"
    with pytest.raises(Unreachable):
        list(batch(reviews(7), table, backend, max_cost_usd=0.0126).results())
    backend._fails_at = ""
    for retry_number in (1, 2):
        with pytest.raises(BatchStopped, match=r"2 rows not asked"):
            list(batch(reviews(7), table, backend, retry_number=retry_number, max_cost_usd=0.0126).results())
    assert len(backend._asked) == 5
    assert sum(float(row["cost"]) for row in ledger_rows() if row["cost"]) <= 0.0126
    list(batch(reviews(7), table, backend, max_cost_usd=0.0126).results())  # another batch of the run has its own limit


def test_a_limit_that_the_last_row_has_used_up_fails_no_batch(table: AnswerTable) -> None:
    asked = batch(reviews(4), table, Priced(), max_cost_usd=0.0101)
    assert len(list(asked.results())) == 4
    assert asked.progress.done == 4


def test_a_kept_list_is_given_as_a_list(databases: None) -> None:
    class Listing(Edited):
        def answer(self, request: CallRequest) -> dict[str, Any]:  # noqa: ARG002
            return {"text": '{"tags": ["a", "b"], "n": 1}'}

    output = {"tags": {"type": "array", "items": "string"}, "n": "integer"}
    for _ in range(2):
        asked = ask(reviews(1), backend=Listing(), output=output)
        assert asked["1"].output == {"tags": ["a", "b"], "n": 1}


class Scoring(Edited):
    """Answers with a score."""

    _score: Any = None

    def answer(self, request: CallRequest) -> dict[str, Any]:  # noqa: ARG002
        return {"text": json.dumps({"score": self._score, "note": None})}


@pytest.mark.parametrize(
    ("before", "said_before", "declared", "said"),
    [
        ("string", "x", "integer", 5),
        ("number", 1.5, "integer", 5),
        ("string", "x", "number", 0.5),
        ("string", "x", "boolean", True),
        ("string", "x", {"type": "array", "items": "number"}, [1.0]),
    ],
)
def test_a_column_that_was_of_another_type_gives_kept_answers_as_new_ones(
    databases: None, before: Any, said_before: Any, declared: Any, said: Any
) -> None:
    backend = Scoring()
    note = {"type": "string", "optional": True}
    backend._score = said_before
    ask(reviews(1), backend=backend, output={"score": before, "note": note})
    backend._score = said
    for _ in range(2):
        output = ask(reviews(1), backend=backend, output={"score": declared, "note": note})["1"].output
        assert repr(output) == repr({"score": said, "note": None})


def test_a_kept_answer_that_its_column_can_not_have_any_more_stays(databases: None) -> None:
    backend = Scoring()
    backend._score = "x"
    for declared in ("string", "integer"):
        asked = ask(reviews(1), backend=backend, output={"score": declared}, refresh="failed")
        assert asked["1"].output == {"score": "x"}


def test_a_column_that_somebody_adds_keeps_its_values(edited: Edited, database: TablesDatabase) -> None:
    ask(reviews(2), backend=edited)
    with database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE labels ADD COLUMN human TEXT")
        connection.exec_driver_sql("ALTER TABLE labels ADD COLUMN reviewed BOOLEAN NOT NULL DEFAULT FALSE")
        connection.exec_driver_sql("UPDATE labels SET human = 'good', reviewed = TRUE WHERE id = 1")
    ask([{"id": 1, "text": "edited"}, *reviews(2, first=2)], backend=edited)
    assert stored(database, "labels", "id", "answer", "human", "reviewed") == [
        {"id": 1, "answer": "v1 said edited", "human": "good", "reviewed": True},
        {"id": 2, "answer": "v1 said review 2", "human": None, "reviewed": False},
        {"id": 3, "answer": "v1 said review 3", "human": None, "reviewed": False},
    ]
