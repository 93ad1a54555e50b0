"""Answers that are no text, beside a materialization."""

from datetime import date
from typing import Any

import dagster as dg
import pytest
from dagster._serdes import deserialize_value, serialize_value

from dagma.calls.answer import Answer
from dagma.calls.call_record import MOST_CELL, MOST_CHARACTERS, MOST_COLUMNS, MOST_ROWS, show_answer


def shown(*outputs: Any) -> dict[str, Any]:
    return show_answer(Answer(text=None, outputs={f"C-{index}": value for index, value in enumerate(outputs)}))


def test_a_text_is_shown_as_text() -> None:
    assert show_answer(Answer(text="*hi*")) == {"answer": dg.MetadataValue.text("*hi*")}
    assert show_answer(Answer(text="")) == {"answer": dg.MetadataValue.text("")}


def test_rows_are_shown_as_a_table_whatever_they_hold() -> None:
    entry = shown([{"a": 1, "b": None}, {"b": {"c": [1]}, "d": "x" * (MOST_CELL + 1)}])["answer"]
    assert isinstance(entry, dg.TableMetadataValue)
    assert [column.name for column in entry.schema.columns] == ["a", "b", "d"]
    assert [record.data for record in entry.records] == [
        {"a": 1, "b": "", "d": ""},
        {"a": "", "b": '{"c": [1]}', "d": "x" * MOST_CELL + "..."},
    ]
    assert deserialize_value(serialize_value(entry)) == entry


def test_of_a_large_table_the_beginning_is_shown_and_how_much_there_is() -> None:
    rows = [{f"c{column}": column for column in range(MOST_COLUMNS + 1)}] * (MOST_ROWS + 1)
    entries = shown(rows)
    assert entries["answer_rows"] == MOST_ROWS + 1
    assert len(entries["answer"].records) == MOST_ROWS
    assert len(entries["answer"].schema.columns) == MOST_COLUMNS


@pytest.mark.parametrize("value", [{"a": [1, 2]}, [1, 2], [{"a": 1}, 2]], ids=["object", "list", "mixed list"])
def test_other_data_is_shown_as_json(value: Any) -> None:
    assert shown(value) == {"answer": dg.MetadataValue.json(value)}


@pytest.mark.parametrize("data", [{"day": date(2026, 1, 31)}, [{"of": {"day": date(2026, 1, 31)}}]])
def test_what_a_backends_own_read_gives_is_shown_where_json_has_no_word_for_it(data: Any) -> None:
    assert "2026-01-31" in serialize_value(shown(data)["answer"])


def test_of_long_data_the_beginning_is_shown() -> None:
    shown_text = shown({"a": "x" * MOST_CHARACTERS})["answer"].text
    assert MOST_CHARACTERS < len(shown_text) < MOST_CHARACTERS + 10


def test_several_outputs_are_shown_by_component() -> None:
    assert shown("one", {"a": 1}) == {"answer": dg.MetadataValue.json({"C-0": "one", "C-1": {"a": 1}})}


def test_an_output_that_holds_nothing_is_not_taken_for_one_that_was_not_recorded() -> None:
    assert shown(None) == {"answer": dg.MetadataValue.json(None)}
