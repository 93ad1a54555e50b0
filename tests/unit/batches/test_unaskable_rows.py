"""Rows that can't be asked: one fails alone, and if all are such, the batch does not begin."""

from pathlib import Path

import pytest
from unit.batches.conftest import ask, reviews, sends, stored

from dagma.batches.errors import RowsError
from dagma.batches.tables_database import TablesDatabase
from dagma.testing import FakeLangflow


def test_rows_of_which_none_can_be_asked_are_refused_and_the_table_keeps_its_answers(
    fake: FakeLangflow, database: TablesDatabase
) -> None:
    ask(reviews(2))
    before = stored(database, "labels")
    with pytest.raises(RowsError, match="None of 3 rows can be asked") as refused:
        ask(reviews(3), input="{{ row.nosuch }}")
    assert (
        "has the key '1' and the fault TemplateFault: The template of input can't be filled in: there is no 'nosuch'"
        in str(refused.value)
    )
    assert stored(database, "labels") == before
    assert len(sends(fake)) == 2


def test_a_bad_row_among_answered_ones_fails_alone(fake: FakeLangflow) -> None:
    rows = [*reviews(1), {"id": 2}]
    for _ in range(2):  # the second time, the bad row is the only one that is due
        assert {key: row.error_kind for key, row in ask(rows).items()} == {"1": None, "2": "TemplateFault"}


def test_a_bad_row_with_a_column_that_no_text_can_name_fails_alone(fake: FakeLangflow, tmp_path: Path) -> None:
    path = tmp_path / "reviews.jsonl"
    path.write_text('{"id": 1, "text": "a"}\n{"id": 2, "\\ud800": "b"}\n')
    asked = ask({"jsonl": str(path)})
    assert {key: row.error_kind for key, row in asked.items()} == {"1": None, "2": "TemplateFault"}
    assert str(asked["2"].error).endswith("there is no 'text', only id, ?.")
