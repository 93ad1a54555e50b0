"""Batches: each row asked once, its answer kept, and nothing paid for twice."""

import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from unit.batches.conftest import FLOW_ID, QUICK, Flow, ask, labels, ledger_rows, reviews, sends, stored
from unit.batches.data_backend import Labelling

from dagma import Backend, CallRequest
from dagma.backends.langflow.langflow_resource import langflow_from_environment
from dagma.batches.answer_table import AnswerTable
from dagma.batches.ask_rows import ask_rows
from dagma.batches.batch import Batch
from dagma.batches.batch_settings import BatchSettings
from dagma.batches.errors import BatchStopped, RowsError, TableError
from dagma.batches.tables_database import TablesDatabase
from dagma.langflow import Forbidden
from dagma.ledger import LedgerSettings, QuotaExceededError
from dagma.ledger.errors import LedgerUnavailableError
from dagma.testing import FakeLangflow, Fault

ROOT = Path(__file__).parents[3]
LABELS = {"label": {"enum": ["positive", "negative"]}, "reason": "string"}


def test_a_table_has_a_row_for_each_input_row_with_its_answer_and_what_it_took(
    fake: FakeLangflow, flow: Flow, database: TablesDatabase
) -> None:
    flow.says = labels
    ask([{"id": 7, "text": "a bad one", "stars": 1.5}], output=LABELS, keep=["stars"])
    (row,) = stored(database, "labels")
    (call,) = ledger_rows()
    assert list(row)[:5] == ["id", "stars", "label", "reason", "error"]
    assert (row["id"], row["stars"], row["label"], row["reason"]) == (7, 1.5, "negative", "as it says")
    assert (row["error"], row["error_kind"], row["attempts"]) == (None, None, 1)
    assert (row["call_id"], row["flow_version"], row["model"]) == (call["id"], call["flow_version"], "gpt-4o")
    assert (row["tokens"], Decimal(str(row["cost_usd"]))) == (38, call["cost"].normalize())
    assert row["answered_at"].tzinfo is not None


def test_asked_again_only_new_and_changed_rows_are_sent(
    fake: FakeLangflow, flow: Flow, database: TablesDatabase
) -> None:
    ask(reviews(3))
    flow.inputs.clear()
    results = ask([*reviews(2), {"id": 3, "text": "edited"}, {"id": 4, "text": "new"}])
    assert sorted(flow.inputs) == ["edited", "new"]
    assert len(results) == len(stored(database, "labels")) == 4


def test_failed_rows_are_asked_again_and_the_others_are_not(fake: FakeLangflow, flow: Flow) -> None:
    flow.says = lambda asked: 1 / 0 if asked == "review 2" else "fine"  # type: ignore[return-value]
    first = ask(reviews(3))
    assert (first["2"].error_kind, first["2"].output, first["3"].answer) == ("FlowFailed", None, "fine")
    assert "division by zero" in str(first["2"].error)
    assert first["2"].call_id in {row["id"] for row in ledger_rows()}
    flow.says = lambda _: "better"
    second = ask(reviews(3))
    assert [second[key].answer for key in "123"] == ["fine", "better", "fine"]
    assert len(sends(fake)) == 4


def test_an_edit_of_the_flow_asks_all_rows_and_refresh_failed_does_not(fake: FakeLangflow, flow: Flow) -> None:
    ask(reviews(2))
    fake.add_flow("classify", flow, flow_id=FLOW_ID, flow=json.loads((ROOT / "flows/echo.json").read_text()))
    ask(reviews(3), refresh="failed")
    assert len(sends(fake)) == 3
    ask(reviews(3))
    assert len(sends(fake)) == 5


def test_another_output_schema_asks_all_rows(fake: FakeLangflow, flow: Flow, database: TablesDatabase) -> None:
    flow.says = labels
    ask(reviews(2), output={"label": "string"})
    ask(reviews(2), output=LABELS)
    assert len(sends(fake)) == 4
    assert stored(database, "labels", "label", "reason")[0] == {"label": "positive", "reason": "as it says"}


def test_rows_that_vanish_are_marked_and_come_back_unasked(fake: FakeLangflow, database: TablesDatabase) -> None:
    ask(reviews(3))
    ask(reviews(2))
    assert len(stored(database, "labels")) == 2
    ask(reviews(3))
    assert len(stored(database, "labels")) == 3
    assert len(sends(fake)) == 3


def test_rows_that_vanish_are_dropped_where_that_is_said(fake: FakeLangflow, database: TablesDatabase) -> None:
    ask(reviews(3))
    ask(reviews(2), vanished="drop")
    ask(reviews(3))
    assert len(stored(database, "labels")) == 3
    assert len(sends(fake)) == 3, "the ledger still has its answer"


def test_rows_that_ask_the_same_are_asked_once(fake: FakeLangflow, database: TablesDatabase) -> None:
    rows = [{"id": number, "text": f"review {number % 2}"} for number in range(10)]
    results = ask(rows)
    assert len(sends(fake)) == 2
    assert {result.answer for result in results.values()} == {"You said review 0.", "You said review 1."}
    assert sum(row["tokens"] or 0 for row in stored(database, "labels")) == 2 * 38


def test_a_sample_that_answers_more_rows_than_it_asks_counts_them_all(fake: FakeLangflow) -> None:
    rows = [{"id": number, "text": "the same"} for number in range(5)]
    settings = BatchSettings(key="id", input="{{ row.text }}", sample=1)
    batch = Batch(rows, settings, backend=langflow_from_environment(QUICK))
    assert len(list(batch.results())) == 5
    assert (batch.progress.done, batch.progress.to_ask, len(sends(fake))) == (5, 5, 1)


def test_rows_that_say_the_same_in_a_session_are_each_sent(fake: FakeLangflow) -> None:
    said = [{"id": number, "text": text} for number, text in enumerate(("Hi", "yes", "yes"))]
    results = ask(said, session="a talk", table=None, concurrency=1)
    assert [request.json()["input_value"] for request in sends(fake)] == ["Hi", "yes", "yes"]
    assert [result.attempts for result in results.values()] == [1, 1, 1]


def test_kept_columns_stay_current_without_a_call(fake: FakeLangflow, database: TablesDatabase) -> None:
    ask(reviews(2), keep=["text"], input="Rate {{ row.id }}")
    ask([{"id": 1, "text": "edited"}, {"id": 2, "text": 5}], keep=["text"], input="Rate {{ row.id }}")
    assert [row["text"] for row in stored(database, "labels")] == ["edited", "5"]
    assert len(sends(fake)) == 2


def test_fields_and_session_are_templates_too(fake: FakeLangflow) -> None:
    field = next(iter(json.loads((ROOT / "flows/echo.json").read_text())["data"]["nodes"]))["id"]
    fake.add_flow("echoing", flow=json.loads((ROOT / "flows/echo.json").read_text()), endpoint_name="echoing")
    tweaks = {field: {"sender_name": "{{ row.text }}"}}
    results = ask(reviews(1), flow="echoing", tweaks=tweaks, session="talk-{{ row.id }}")
    assert results["1"].error is None
    body = sends(fake)[0].json()
    assert (body["tweaks"], body["session_id"]) == ({field: {"sender_name": "review 1"}}, "talk-1")


def test_rows_whose_session_is_blank_have_one_of_their_own(fake: FakeLangflow) -> None:
    rows = [{**row, "s": blank} for row, blank in zip(reviews(4), ("", None, " ", "talk"), strict=True)]
    ask(rows, session="{{ row.s }}")
    sessions = {request.json()["input_value"]: request.json()["session_id"] for request in sends(fake)}
    assert sessions.pop("review 4") == "talk"
    assert len({session for session in sessions.values() if session.startswith("call-")}) == 3


def test_a_row_whose_session_is_blank_now_is_not_changed_where_it_had_none(fake: FakeLangflow) -> None:
    ask(reviews(1))
    ask([{**reviews(1)[0], "s": ""}], session="{{ row.s }}")
    assert len(sends(fake)) == 1


def test_an_answer_that_does_not_fit_is_asked_for_again_with_its_fault(fake: FakeLangflow, flow: Flow) -> None:
    flow.says = lambda asked: labels(asked) if "can't be used" in asked else '{"label": "meh", "reason": "so"}'
    results = ask(reviews(1), output=LABELS)
    assert results["1"].output == {"label": "positive", "reason": "as it says"}
    assert (results["1"].attempts, results["1"].tokens) == (2, 76)
    assert 'label is "meh": none of "positive", "negative".' in flow.inputs[1]
    assert len(ledger_rows()) == 2


def test_an_answer_with_a_nul_character_is_quoted_without_it(fake: FakeLangflow, flow: Flow) -> None:
    flow.says = lambda asked: labels(asked) if "can't be used" in asked else "none\0"
    assert ask(reviews(1), output=LABELS)["1"].error is None
    assert "none\N{REPLACEMENT CHARACTER}" in flow.inputs[1]


def test_answers_that_never_fit_fail_the_row_and_are_not_replayed(fake: FakeLangflow, flow: Flow) -> None:
    flow.says = lambda _: "no idea"
    failed = ask(reviews(1), output=LABELS)["1"]
    assert (failed.error_kind, failed.attempts, failed.output) == ("AnswerFault", 3, None)
    assert "no idea" in str(failed.error)
    flow.says = labels
    assert ask(reviews(1), output=LABELS)["1"].error is None
    assert len(sends(fake)) == 4


def test_data_of_the_flow_is_taken_as_the_output(fake: FakeLangflow) -> None:
    results = ask(reviews(1), output=LABELS, flow="labelling", backend=Labelling())
    assert results["1"].output == {"label": "positive", "reason": "data"}


class Deep(Backend):
    """Answers one of the rows with more than JSON can hold."""

    response: dict[str, Any]

    def answer(self, request: CallRequest) -> dict[str, Any]:
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        return {**self.response, "data": deep} if request.input_value == "review 1" else {"text": "fine"}


@pytest.mark.parametrize("response", [{"text": "fine"}, {"no text": "at all"}])
def test_a_response_that_is_nested_too_deeply_fails_its_row_alone(databases: None, response: dict[str, Any]) -> None:
    results = ask(reviews(3), flow="deep", backend=Deep(response=response))
    assert {key: row.error_kind for key, row in results.items()} == {"1": "MalformedResponse", "2": None, "3": None}
    assert "can't be written as JSON" in str(results["1"].error) or "has no text" in str(results["1"].error)
    assert sorted(row["state"] for row in ledger_rows()) == ["answered", "answered", "failed"]


def test_a_transient_error_is_retried_for_its_row(fake: FakeLangflow) -> None:
    fake.script(Fault(path="/api/v1/run", status=429, headers={"Retry-After": "0"}, times=5))
    assert all(result.error is None for result in ask(reviews(3)).values())


def test_more_failures_than_allowed_stop_the_batch_and_what_was_answered_is_kept(
    fake: FakeLangflow, flow: Flow, database: TablesDatabase
) -> None:
    flow.says = lambda asked: "fine" if asked == "review 1" else 1 / 0  # type: ignore[return-value]
    with pytest.raises(BatchStopped, match=r"2 rows failed \(FlowFailed 2\), and max_failed allows 1"):
        ask(reviews(30), max_failed="5%", concurrency=1)
    assert [row["answer"] for row in stored(database, "labels")] == ["fine", None, None]
    assert len(sends(fake)) == 3


def test_a_share_of_rows_that_may_fail_is_counted_exactly() -> None:
    settings = [BatchSettings(key="id", input="x", max_failed=f"{percent}%") for percent in range(101)]
    assert [each.most_failures(100) for each in settings] == list(range(101))


def test_a_batch_stops_before_it_costs_more_than_allowed(fake: FakeLangflow, database: TablesDatabase) -> None:
    with pytest.raises(BatchStopped, match=r"26 rows not asked.*set sample to ask a part of the rest"):
        ask(reviews(30), max_cost_usd=0.00065, concurrency=1)
    assert len(sends(fake)) == len(stored(database, "labels")) == 4
    with pytest.raises(BatchStopped, match=r"26 rows will cost about 0\.0040 USD.* Nothing was sent"):
        ask(reviews(30), max_cost_usd=0.00065)
    assert len(sends(fake)) == 4
    ask(reviews(30), max_cost_usd=0.00065, sample=3)
    assert len(sends(fake)) == 7


def test_what_rows_will_take_is_told_before_the_first_is_asked_and_refused_over_the_limit(
    fake: FakeLangflow, database: TablesDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ask(reviews(2), concurrency=1)
    assert "2 rows are asked. What they will take is not known yet." in caplog.text
    ask(reviews(102), sample=1)
    assert "Estimate, by the latest 2 calls of the flow: 1 row, 38 tokens, 0.0002 USD" in caplog.text
    with pytest.raises(BatchStopped, match=r"100 rows will cost about 0\.0155 USD.*latest calls of the flow"):
        ask(reviews(100), table="another", max_cost_usd=0.01)
    with pytest.raises(BatchStopped, match="latest calls of the flow"):
        ask(reviews(100), table=None, max_cost_usd=0.01)
    assert len(sends(fake)) == 3
    ask(reviews(1), table="another", max_cost_usd=0.01)
    assert "Estimate, by the latest 3 calls of the flow: 1 row, 38 tokens" in caplog.text


def test_an_estimate_that_the_ledger_fails_to_give_stops_a_batch_only_where_its_limit_needs_it(
    fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise LedgerUnavailableError("It took too long.")

    monkeypatch.setattr("dagma.batches.batch.recent_means", fail)
    with pytest.raises(LedgerUnavailableError):
        ask(reviews(1), max_cost_usd=1.0)
    assert ask(reviews(1))["1"].error is None
    assert "There is no estimate of what the rows will take: It took too long." in caplog.text


def test_a_limit_on_cost_is_not_pretended_where_prices_are_unknown(
    fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.add_flow("plain", lambda call: call.input_value)  # no model, no tokens
    with pytest.raises(BatchStopped, match=r"The model of a call has no price.*DAGMA_PRICES"):
        ask(reviews(30), flow="plain", max_cost_usd=1.0, concurrency=1)
    assert len(sends(fake)) == 1


def test_a_sample_asks_a_few_rows_and_the_next_batch_the_rest(fake: FakeLangflow, database: TablesDatabase) -> None:
    assert len(ask(reviews(10), sample=3)) == 3
    assert len(sends(fake)) == 3
    ask(reviews(10))
    assert len(sends(fake)) == len(stored(database, "labels")) == 10


def test_a_wrong_key_stops_the_batch_instead_of_failing_every_row(
    fake: FakeLangflow, database: TablesDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.script(Fault(path="/api/v1/run", status=403, times=0))
    with pytest.raises(Forbidden):
        ask(reviews(50), concurrency=1)
    assert stored(database, "labels") == []
    assert len(sends(fake)) == 1


def test_a_full_quota_stops_the_batch_and_what_was_answered_is_kept(
    fake: FakeLangflow, database: TablesDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_QUOTAS", "calls=3/day")
    with pytest.raises(QuotaExceededError):
        ask(reviews(10), concurrency=1)
    assert len(sends(fake)) == len(stored(database, "labels")) == 3


def test_a_flow_that_cant_be_looked_up_stops_the_batch_before_it_asks_all_rows_again(fake: FakeLangflow) -> None:
    ask(reviews(2))
    fake.script(Fault(path="/api/v1/flows", status=503, times=0))
    with pytest.raises(Exception, match="503"):
        ask(reviews(2))
    assert len(sends(fake)) == 2


def test_an_answer_that_the_ledger_no_longer_keeps_is_asked_for_again(
    fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(reviews(1))
    ask([{"id": 1, "text": "edited"}])
    LedgerSettings.from_environment().open().database.transact(
        lambda connection: connection.exec_driver_sql("DELETE FROM replays")
    )
    assert ask(reviews(1))["1"].answer == "You said review 1."
    assert len(sends(fake)) == 3


def test_a_table_of_somebody_else_is_left_alone(fake: FakeLangflow, database: TablesDatabase) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE labels (id INTEGER)")
    with pytest.raises(TableError, match="no table of answers"):
        ask(reviews(1))
    assert sends(fake) == []


def test_rows_are_read_once_and_before_the_first_call(fake: FakeLangflow) -> None:
    def rows() -> Any:
        for row in reviews(3):
            assert sends(fake) == []
            yield row

    assert len(ask(rows())) == 3


def test_without_a_table_rows_are_asked_and_nothing_is_kept(fake: FakeLangflow, database: TablesDatabase) -> None:
    results = list(ask_rows(reviews(3), key="id", input="{{ row.text }}", keep=["text"]))
    assert sorted(result.row["text"] for result in results) == ["review 1", "review 2", "review 3"]
    with pytest.raises(TableError):
        AnswerTable(database, "labels").count()


def test_without_a_table_each_batch_of_a_step_asks_its_rows_and_a_retry_of_the_step_asks_none_again(
    fake: FakeLangflow, flow: Flow
) -> None:
    flow.says = lambda asked: f"Answer {len(flow.inputs)} to {asked}."
    answers: list[list[str | None]] = []

    @dg.asset
    def asks_three_times(context: dg.AssetExecutionContext) -> None:
        answers.append([ask(reviews(1), table=None)["1"].answer for _ in range(3)])
        if context.retry_number == 0:
            raise dg.RetryRequested(max_retries=1)

    assert dg.materialize([asks_three_times]).success
    assert answers == [[f"Answer {number} to review 1." for number in (1, 2, 3)]] * 2
    assert len(sends(fake)) == 3


def test_an_argument_that_cant_be_used_is_told_before_anything_is_read(fake: FakeLangflow) -> None:
    for options, told in (
        (
            {"max_failed": "many"},
            "max_failed can't be used: Input should be a valid integer, or: .*a valid number, or: ",
        ),
        ({"refresh": "some"}, "refresh can't be used: Input should be 'changed', 'failed' or 'all'"),
        ({"concurrency": 0}, "concurrency can't be used: Input should be greater"),
        ({"max_cost_usd": -1}, "max_cost_usd can't be used"),
        ({"sample": 0}, "sample can't be used"),
        ({"input": "{{ text }}"}, r"uses text, .* Columns are written \{\{ row\.NAME"),
        ({"input": "{{ row.text "}, "can't be read"),
        ({"output": {}}, "declares no columns"),
        ({"output": {"label": {"enum": []}}}, "enum: Tuple should have at least 1 item"),
        ({"output": {"label": "word"}}, "type: Input should be 'string'"),
        ({"output": {"error": "string"}}, "a column of every table"),
        ({"output": {"id": "string"}}, "the column 'id' of key"),
        ({"keep": "text"}, "keep can't be used"),
        ({"key": 0}, "key can't be used"),
        ({"input": None}, "input can't be used"),
        ({"max_cost_usd": "5$"}, "max_cost_usd can't be used"),
        ({"tweaks": {"temperature": 0}}, "tweaks can't be used"),
        ({"files": "data/invoice.pdf"}, "files can't be used: Input should be a valid dictionary"),
        ({"output": {"label": {"enum": [True, False]}}}, "quote words such as 'yes'"),
        ({"keep": ["call_id"]}, "a column of every table"),
    ):
        with pytest.raises(RowsError, match=told.replace("(", r"\(")):
            ask(iter([json]), **options)
