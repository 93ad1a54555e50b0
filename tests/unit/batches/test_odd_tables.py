"""Tables of odd names and values: they hold what the rows held, and an unchanged row is asked once."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.batches.conftest import stored
from unit.batches.test_answers import JSON, VALUES

from dagma import Backend, CallRequest
from dagma.batches.answer_table import AnswerTable
from dagma.batches.ask_rows import ask_rows
from dagma.batches.batch_settings import BatchSettings
from dagma.batches.errors import RowsError, TableError
from dagma.batches.json_answers import columns_of
from dagma.batches.output_columns import AnswerFault, OutputColumns
from dagma.batches.row_staging import Staging
from dagma.batches.staged_rows import StagedRow
from dagma.batches.tables_database import TablesDatabase
from dagma.batches.values import Kind, common_kind, fitting, jsonable, key_text, kind_of, plain
from dagma.calls.answer import Answer

FEW = settings(max_examples=60)
# The fixture's database is used by all examples, each with a table of its own.
FEW_TABLES = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
ODD_NAMES = (
    *("select", "order", "group by", "Table", "a.b", "value", "x%", "%(x)s", "x:y", 'say "hi"', "it's"),
    *("--", "; drop table labels", "$1", "[0]", "ü", "😀", "n" * 63, "rowid", "row_"),
)


class Echo(Backend):
    """Answers with the question, and counts."""

    asked: int = 0

    def answer(self, request: CallRequest) -> dict[str, Any]:
        type(self).asked += 1
        return {"text": request.input_value}


@pytest.fixture(autouse=True)
def nothing_asked() -> None:
    Echo.asked = 0


def ask(rows: Any, **options: Any) -> None:
    defaults = {"key": "id", "input": "{{ row.id }}", "table": "labels", "flow": "echo", "backend": Echo()}
    failed = [result.error for result in ask_rows(rows, **{**defaults, **options}) if result.error]
    assert failed == []


def test_columns_of_any_name_keep_their_values(database: TablesDatabase) -> None:
    row: Mapping[str, Any] = {"id": 1, **{name: f"of {name}" for name in ODD_NAMES}}
    for names in (ODD_NAMES[:5], ODD_NAMES):  # those that are added later, too
        ask([row], keep=names)
        assert stored(database, "labels", "id", *names) == [{"id": 1, **{name: row[name] for name in names}}]
    edited = {"order": "edited", "a.b": "edited, too"}
    ask([{**row, **edited}], keep=ODD_NAMES)
    assert stored(database, "labels", *ODD_NAMES) == [{name: row[name] for name in ODD_NAMES} | edited]
    assert Echo.asked == 1


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        (["n" * 64], "a name that no table can have"),
        (["ü" * 32], "a name that no table can have"),
        (["a\x00"], "a name that no table can have"),
        (["\ud800"], "a name that no table can have"),
        ([""], "a name that no table can have"),
        (["ID"], "has the name of the column 'id' of key"),
        (["Ü", "ü"], "has the name of the column 'Ü' of keep"),
        (["Answer"], "has the name of the column 'Answer' of keep"),
        (["call_id"], "a column of every table"),
        (["a b", "a_b"], "the column 'a b' of keep, or almost"),
        (["Umsatz%", "UmsatzP"], "the column 'Umsatz%' of keep, or almost"),
        (["a(b)", "aAbZ"], r"the column 'a\(b\)' of keep, or almost"),
        (["x:y", "xCy"], "the column 'x:y' of keep, or almost"),
    ],
)
def test_a_name_that_no_table_can_have_is_refused(keep: list[str], told: str) -> None:
    with pytest.raises(RowsError, match=told):
        BatchSettings(key="id", input="{{ row.id }}", keep=tuple(keep))


def test_more_columns_than_a_table_can_have_are_refused_before_a_row_is_asked() -> None:
    row = {f"c{number}": number for number in range(5_000)}
    with pytest.raises(TableError, match="too many columns"):
        ask([{"id": 1, **row}], keep=list(row))
    assert Echo.asked == 0


def test_a_cell_of_10_mb_is_kept(database: TablesDatabase) -> None:
    text = "x" * 10_000_000
    ask([{"id": 1, "text": text}], keep=["text"])
    assert stored(database, "labels", "text") == [{"text": text}]


def test_arrays_are_asked_whole_and_are_lists_in_tweaks() -> None:
    values = np.arange(2_000)
    edited = np.where(values == 1_000, -5, values)
    ask([{"id": 1, "value": values}, {"id": 2, "value": edited}], input="{{ row.value }}")
    assert Echo.asked == 2, "they differ in the middle"
    tweaks = {"a": np.array([[1, 2]]), "b": [np.array([0.5])], "c": np.array(5)}
    assert jsonable(tweaks) == {"a": [[1, 2]], "b": [[0.5]], "c": 5}


def test_a_table_of_no_rows_is_empty_and_takes_rows_later(database: TablesDatabase) -> None:
    ask([], keep=["n"])
    assert stored(database, "labels") == []
    ask([{"id": 1, "n": 5}], keep=["n"])
    assert stored(database, "labels", "id", "n") == [{"id": "1", "n": "5"}]


def test_a_column_that_sqlite_can_not_widen_is_told_before_a_row_is_asked(database: TablesDatabase) -> None:
    ask([{"id": 1, "n": 1}], keep=["n"])
    with pytest.raises(TableError, match="'n' of the table 'labels' has the kind integer, and now holds text"):
        ask([{"id": 1, "n": "many"}], keep=["n"])
    assert stored(database, "labels", "id", "n") == [{"id": 1, "n": 1}]


NUMBERS = iter(range(10**6))


@FEW_TABLES
@given(st.lists(VALUES, max_size=5))
def test_a_table_holds_what_the_rows_held_and_asks_them_once(database: TablesDatabase, values: list[Any]) -> None:
    table = f"t{next(NUMBERS)}"
    rows = [{"id": number, "value": value} for number, value in enumerate(values)]
    kind: Kind | None = None
    for value in values:
        kind = common_kind(kind, kind_of(plain(value)))
    before = Echo.asked
    for _ in range(2):
        ask(rows, keep=["value"], table=table)
        expected = [fitting(plain(value), kind or "text") for value in values]
        assert [row["value"] for row in stored(database, table)] == expected
        assert Echo.asked - before == len(values)


def refusal_of(work: Callable[[], Any]) -> str | None:
    """Why something is refused; None where it is not."""
    try:
        work()
    except (RowsError, AnswerFault) as error:
        return str(error)
    return None


@FEW_TABLES
@given(st.lists(st.text(max_size=5) | st.integers() | st.decimals() | st.floats() | st.none(), max_size=4))
def test_keys_of_any_kind_are_rows_of_their_own_or_refused(database: TablesDatabase, keys: list[Any]) -> None:
    table = f"k{next(NUMBERS)}"
    refusal = refusal_of(lambda: ask([{"id": key} for key in keys], table=table))
    if refusal is None:
        kept = AnswerTable(database, table).rows(["row_key"])
        assert sorted(row["row_key"] for row in kept) == sorted(str(key_text(key)) for key in keys)
    else:
        assert "Nothing was sent" in refusal


TYPES = st.sampled_from(["string", "integer", "number", "boolean", "array", "text", "", None, ["string", "null"], 5])
DECLARED = TYPES | st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES,
            "enum": st.lists(JSON, max_size=3) | JSON,
            "minimum": st.integers() | st.floats() | st.text(max_size=2) | st.none(),
            "maximum": st.integers() | st.floats() | st.none(),
            "description": JSON,
            "optional": st.booleans() | st.none(),
        },
    ),
    lambda inner: st.fixed_dictionaries({"items": inner | TYPES}, optional={"type": TYPES}),
    max_leaves=3,
)


@settings(max_examples=200)
@given(st.dictionaries(st.text(min_size=1, max_size=3), DECLARED, min_size=1, max_size=3), st.data())
def test_any_declaration_is_refused_or_reads_any_answer(declared: dict[str, Any], data: st.DataObject) -> None:
    refusal = refusal_of(lambda: OutputColumns.of(declared))
    if refusal is not None:
        assert "output column" in refusal
        return
    columns = OutputColumns.of(declared)
    kinds = {column.name: column.kind for column in columns.columns}
    columns.instructions("")
    said = {name: data.draw(JSON) for name in declared}
    for answer in (Answer(text=None, outputs={"Data-1": said}), Answer(text=data.draw(st.text()))):
        if not refusal_of(partial(columns_of, answer, columns)):
            read = columns_of(answer, columns)
            assert all(value is None or fitting(plain(value), kinds[name]) is not None for name, value in read.items())


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"type": ["string", "null"]}, "type: Input should be 'string', 'integer'"),
        ({"enum": [["a"]]}, "enum.0: Input should be a valid string"),
        ({"type": "string", "maximum": 5}, "only a number has a minimum or maximum"),
        ({"type": "integer", "minimum": 5, "maximum": 1}, "the minimum is more than the maximum"),
        ({"enum": [True, False]}, "quote words such as 'yes'"),
    ],
)
def test_a_column_that_no_answer_could_give_is_refused_before_any_is_paid_for(declared: Any, told: str) -> None:
    with pytest.raises(RowsError, match=told):
        OutputColumns.of({"label": declared})


def test_a_description_that_is_empty_is_as_one_that_is_left_out() -> None:
    assert OutputColumns.of({"label": {"type": "string", "description": None}}) == OutputColumns.of({"label": "string"})


PIECES = st.sampled_from(
    ["{{", "}}", "{%", "%}", "row", ".", "text", "['", "']", "|", "upper", "if", "endif", "(", ")"]
)


@FEW
@given(st.lists(PIECES | st.text(max_size=3), max_size=12).map(" ".join))
def test_any_template_is_refused_or_asks_a_question_of_a_row(template: str) -> None:
    def asked() -> list[StagedRow]:
        settings = BatchSettings(key="id", input=template)
        return list(Staging(settings, "flow", "v1").rows([{"id": 1, "text": "a"}, {"id": 2}]))

    refusal = refusal_of(asked)
    if refusal is None:
        assert all((row.asked is None) == (row.fault is not None) for row in asked())
    else:
        assert "template" in refusal
