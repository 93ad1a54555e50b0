"""A table as an asset: declared in YAML or Python, materialized, checked, and given to downstream assets."""

import traceback
from pathlib import Path
from typing import Any, Optional

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import yaml
from unit.batches.conftest import QUICK, Flow, labels, sends, stored

from dagma import FlowTable, StoredTable, flow_table, langflow_from_environment
from dagma.batches.answer_table import AnswerTable
from dagma.batches.batch import Batch
from dagma.batches.batch_settings import BatchSettings
from dagma.batches.errors import RowsError
from dagma.batches.tables_database import TablesDatabase
from dagma.components import stored_tables
from dagma.ledger import LedgerSettings
from dagma.ledger.reports import all_calls
from dagma.testing import FakeLangflow

YAML = """
asset: reviews_labelled
rows: reviews
key: id
input: "{{ row.text }}"
output: {label: {enum: [positive, negative]}, reason: string}
"""
PARTITIONED = (
    YAML
    + """
partitions_def: {type: static, partition_keys: [de, fr]}
partition_column: country
"""
)


@dg.asset
def reviews() -> list[dict[str, Any]]:
    return [{"id": 1, "text": "good"}, {"id": 2, "text": "bad"}]


def declared(text: str) -> dg.AssetsDefinition:
    """The asset that YAML declares."""
    return FlowTable.resolve_from_dict(yaml.safe_load(text)).build_asset()


def materialize(assets: list[Any], instance: dg.DagsterInstance, **options: Any) -> dg.ExecuteInProcessResult:
    resources = {"backend": langflow_from_environment(QUICK)}
    return dg.materialize(assets, resources=resources, instance=instance, raise_on_error=False, **options)


def metadata_of(result: dg.ExecuteInProcessResult, asset: str = "reviews_labelled") -> dict[str, Any]:
    (event,) = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset)]
    materialization = event.step_materialization_data.materialization
    return {name: entry.value for name, entry in materialization.metadata.items()}


def test_five_lines_of_yaml_make_a_table_that_is_shown_and_checked(
    fake: FakeLangflow, flow: Flow, database: TablesDatabase, instance: dg.DagsterInstance
) -> None:
    flow.says = labels
    result = materialize([reviews, declared(YAML)], instance)
    assert result.success
    assert [row["label"] for row in stored(database, "reviews_labelled")] == ["positive", "negative"]
    metadata = metadata_of(result)
    assert (metadata["rows_asked"], metadata["rows_unchanged"], metadata["rows_failed"]) == (2, 0, 0)
    assert (metadata["dagster/row_count"], metadata["tokens"], metadata["cost_usd"]) == (2, 76, 0.00031)
    assert metadata["preview"].records[1].data["label"] == "negative"
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("rows_failed", True)
    (spec,) = declared(YAML).check_specs
    assert spec.description == "Fails if rows of the table have no answer."
    calls = list(all_calls(LedgerSettings.from_environment().open().database))
    assert sorted((call["run_id"], call["row_key"]) for call in calls) == [(result.run_id, "1"), (result.run_id, "2")]

    again = metadata_of(materialize([reviews, declared(YAML)], instance))
    assert (again["rows_asked"], again["rows_unchanged"], len(sends(fake))) == (0, 2, 2)


def test_a_cost_that_is_not_known_is_not_told_as_nothing(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    fake.add_flow("plain", lambda call: "good" if "good" in call.input_value else "bad")  # no model, no tokens
    text = YAML.replace("{label: {enum: [positive, negative]}, reason: string}", "{label: {enum: [good, bad]}}")
    metadata = metadata_of(materialize([reviews, declared(f"{text}flow: plain\n")], instance))
    assert "cost_usd" not in metadata
    assert (metadata["rows_asked"], metadata["rows_unpriced"]) == (2, 2)


def test_failed_rows_are_told_by_the_check_and_not_by_the_run(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance
) -> None:
    flow.says = lambda asked: "no idea" if "bad" in asked else labels(asked)
    result = materialize([reviews, declared(YAML)], instance)
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity, check.description) == (
        False,
        dg.AssetCheckSeverity.WARN,
        "AnswerFault: 1 row",
    )
    assert check.metadata["errors_by_kind"].value == "AnswerFault: 1 row", "a text, which the UI shows at once"
    assert metadata_of(result)["errors_by_kind"] == "AnswerFault: 1 row"


def test_over_max_failed_the_run_fails_with_the_errors_by_kind(
    fake: FakeLangflow, flow: Flow, database: TablesDatabase, instance: dg.DagsterInstance
) -> None:
    flow.says = lambda asked: "no idea" if "bad" in asked else labels(asked)
    result = materialize([reviews, declared(YAML + "max_failed: 0\n")], instance)
    assert not result.success
    failure = result.failure_data_for_node("reviews_labelled").user_failure_data
    assert failure is not None
    assert failure.metadata["errors_by_kind"].value == "AnswerFault: 1 row"
    assert "max_failed allows 0" in str(failure.description)
    (failed,) = failure.metadata["failed_rows"].records
    assert failed.data["error_kind"] == "AnswerFault"
    assert len(result.get_asset_check_evaluations()) == 1
    assert stored(database, "reviews_labelled", "label")[0] == {"label": "positive"}


def test_downstream_assets_get_the_table_as_they_ask_for_it(fake: FakeLangflow, instance: dg.DagsterInstance) -> None:
    labelled = flow_table(asset="labelled", rows="reviews", key="id", input="{{ row.text }}")

    @dg.asset
    def as_a_list(labelled: list) -> int:  # type: ignore[type-arg]
        return len([row["answer"] for row in labelled])

    @dg.asset
    def lazily(labelled) -> list[str]:  # type: ignore[no-untyped-def]
        assert isinstance(labelled, StoredTable)
        assert (len(labelled), labelled.columns[:2]) == (2, ["id", "answer"])
        return [row["answer"] for row in labelled]

    @dg.asset
    def as_a_set(labelled: set) -> None:  # type: ignore[type-arg]
        pass

    @dg.asset
    def maybe(labelled: Optional[list]) -> None:  # type: ignore[type-arg]  # noqa: UP045
        pass

    result = materialize([reviews, labelled, as_a_list, lazily, as_a_set, maybe], instance)
    assert result.output_for_node("as_a_list") == 2
    assert result.output_for_node("lazily") == ["You said good.", "You said bad."]
    for other in ("as_a_set", "maybe"):
        failed = result.failure_data_for_node(other)
        assert failed is not None
        assert "Annotate the parameter with list" in str(failed.error)


@pytest.mark.parametrize("form", [pd.DataFrame, pl.DataFrame, pl.LazyFrame, pa.Table], ids=lambda form: form.__module__)
def test_downstream_assets_get_the_table_as_the_frame_of_their_annotation(
    fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance, form: type
) -> None:
    flow.says = lambda asked: "no idea" if "bad" in asked else "yes"
    labelled = flow_table(
        asset="labelled", rows="reviews", key="id", input="{{ row.text }}", output={"label": {"enum": ["yes"]}}
    )
    got: list[Any] = []

    def read(labelled: Any) -> None:
        got.append(labelled.collect() if isinstance(labelled, pl.LazyFrame) else labelled)

    read.__annotations__["labelled"] = form
    materialize([reviews, labelled, dg.asset(read)], instance)
    (frame,) = got
    # One row has failed, and no row has a cost: each column has its type all the same.
    assert list(frame["id"].to_pylist() if form is pa.Table else frame["id"]) == [1, 2]
    label = frame["label"].to_pylist() if form is pa.Table else list(frame["label"])
    assert (label[0], pd.isna(label[1])) == ("yes", True)


def test_a_table_is_the_input_of_another(fake: FakeLangflow, flow: Flow, instance: dg.DagsterInstance) -> None:
    first = flow_table(asset="first", rows="reviews", key="id", input="{{ row.text }}")
    second = flow_table(asset="second", rows=first, key="id", input="Again: {{ row.answer }}")
    assert materialize([reviews, first, second], instance).success
    assert sorted(flow.inputs)[:2] == ["Again: You said bad.", "Again: You said good."]


def test_each_partition_asks_its_own_rows(
    fake: FakeLangflow, flow: Flow, database: TablesDatabase, instance: dg.DagsterInstance
) -> None:
    rows = [{"id": number, "text": f"review {number}", "country": "de" if number % 2 else "fr"} for number in range(4)]
    by_country = flow_table(
        asset="by_country",
        rows=lambda: rows,
        key="id",
        input="{{ row.text }}",
        keep=["country"],
        partition_column="country",
        partitions_def=dg.StaticPartitionsDefinition(["de", "fr"]),
    )

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["de", "fr"]))
    def answers(by_country: list) -> list[str]:  # type: ignore[type-arg]
        return [row["answer"] for row in by_country]

    result = materialize([by_country, answers], instance, partition_key="de")
    assert result.output_for_node("answers") == ["You said review 1.", "You said review 3."]
    assert sorted(flow.inputs) == ["review 1", "review 3"]
    materialize([by_country], instance, partition_key="fr")
    assert [row["country"] for row in stored(database, "by_country")] == ["de", "de", "fr", "fr"]
    materialize([by_country], instance, partition_key="de")
    assert len(flow.inputs) == 4


def test_partitions_are_read_together(
    fake: FakeLangflow, database: TablesDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("1", "2", "3", "4"):
        table = AnswerTable(database, "by_day", day)
        settings = BatchSettings(key="id", input="{{ row.id }}", keep=("day",))
        rows = [{"id": number, "day": day} for number in range(2)]
        list(Batch(rows, settings, backend=langflow_from_environment(QUICK), table=table).results())
    looked_up: list[str] = []
    look_up = TablesDatabase.reflected
    monkeypatch.setattr(TablesDatabase, "reflected", lambda *given: (looked_up.append(given[1]), look_up(*given))[1])
    monkeypatch.setattr(stored_tables, "MOST_PARTITIONS", 2)
    few = StoredTable("by_day", ["1", "2", "4"])
    assert [row["day"] for row in few] == ["1", "1", "2", "2", "4", "4"]
    assert looked_up == ["by_day"] * 2
    assert (len(few), len(StoredTable("by_day")), len(StoredTable("by_day", []))) == (6, 8, 0)


@pytest.mark.parametrize("form", [list, StoredTable, pd.DataFrame, pl.DataFrame, pa.Table])
def test_a_downstream_partition_without_upstream_ones_gets_no_rows(
    fake: FakeLangflow, instance: dg.DagsterInstance, form: type
) -> None:
    days = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-03")
    by_day = flow_table(
        asset="by_day",
        rows=lambda: [{"id": 1, "text": "good", "day": "2026-01-01"}],
        key="id",
        input="{{ row.text }}",
        partition_column="day",
        partitions_def=days,
    )
    got: list[Any] = []

    def read(by_day: Any) -> None:
        got.append((len(by_day), list(by_day.schema.names if form is pa.Table else getattr(by_day, "columns", []))))

    read.__annotations__["by_day"] = form
    day_before = dg.TimeWindowPartitionMapping(
        start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True
    )
    downstream = dg.asset(read, partitions_def=days, ins={"by_day": dg.AssetIn(partition_mapping=day_before)})
    materialize([by_day], instance, partition_key="2026-01-01")
    assert materialize([by_day, downstream], instance, partition_key="2026-01-01", selection=[downstream]).success
    ((count, columns),) = got
    assert count == 0
    assert form is list or columns[:2] == ["id", "answer"]


def test_rows_of_files_and_queries_are_found_when_the_asset_is_materialized(
    fake: FakeLangflow, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    monkeypatch.setenv("DAGMA_PROJECT_DIR", str(tmp_path))
    table = 'key: id\ninput: "{{ row.text }}"\n'
    of_a_file = declared(f"asset: of_a_file\nrows: {{csv: data/reviews.csv}}\n{table}")
    of_a_query = declared(
        f"asset: of_a_query\nrows: {{sql: 'select 1 as id, 2 as text', url: {{env: SHOP_DB_URL}}}}\n{table}"
    )
    result = materialize([of_a_query], instance)
    assert "SHOP_DB_URL is not set" in str(result.failure_data_for_node("of_a_query").user_failure_data)  # type: ignore[union-attr]

    (tmp_path / "data").mkdir()
    (tmp_path / "data/reviews.csv").write_text("id,text\n1,good\n")
    monkeypatch.setenv("SHOP_DB_URL", f"sqlite:///{tmp_path}/shop.db")
    assert materialize([of_a_file, of_a_query], instance).success
    assert sorted(flow.inputs) == ["2", "good"]


def test_without_recorded_texts_dagster_has_no_preview(
    fake: FakeLangflow, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    monkeypatch.setenv("DAGMA_RECORD_TEXTS", "none")
    metadata = metadata_of(
        materialize([reviews, flow_table(asset="t", rows="reviews", key="id", input="x")], instance), "t"
    )
    assert "preview" not in metadata
    assert metadata["dagster/row_count"] == 2


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("{sql: select 1, url: 'postgresql://me:secret@db/shop'}", "The url names a variable"),
        ("{sql: select 1, url: {env: 'postgresql://me:secret@db/shop'}}", "The url names a variable"),
        ("{sql: select 1, url: {env: SHOP, or: 'postgresql://me:secret@db/shop'}}", "The url names a variable"),
        ("{csv: a.csv, url: 'postgresql://me:secret@db/shop'}", "A query has a url, and nothing else"),
        ("{sqll: select 1, url: 'postgresql://me:secret@db/shop'}", "rows.sqll: rows have no such attribute"),
        ("{sql: select 1, uri: 'postgresql://me:secret@db/shop'}", "rows.uri: rows have no such attribute"),
    ],
)
def test_a_password_in_the_rows_is_not_quoted(rows: str, told: str) -> None:
    with pytest.raises(RowsError, match=told) as caught:
        declared(YAML.replace("rows: reviews", f"rows: {rows}"))
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_a_mistake_in_the_declaration_is_told_when_it_is_loaded(fake: FakeLangflow) -> None:
    for wrong, told in (
        (YAML + "refresh: some\n", "refresh"),
        (YAML + "partitions_def: {type: static, partition_keys: [de]}\n", "Partitions need both"),
        (PARTITIONED.replace("[de, fr]", "[de, '']"), "Give each partition a key"),
        (PARTITIONED.replace("[de, fr]", "[]"), "Give each partition a key"),
        (YAML + "partitions_def: {type: daily, start_date: '2026-13-45'}\n", "'2026-13-45' does not match"),
        (YAML + "partitions_def: daily\n", "'daily' is not an object. Write it as in {type: static"),
        (YAML.replace("rows: reviews", "rows: {csv: a, jsonl: b}"), "an object of one kind"),
        (YAML.replace("rows: reviews", "rows: data/a.csv"), r"an asset's key. Write {csv: data/a\.csv} for a file"),
        (YAML.replace("row.text", "text"), "uses text, which does not exist"),
        (YAML.replace("reviews_labelled", "a/b c"), "be the name of a table"),
    ):
        with pytest.raises(Exception, match=told):
            declared(wrong)
    with pytest.raises(RowsError, match="need both"):
        flow_table(asset="t", rows="r", key="id", input="x", partition_column="country")
