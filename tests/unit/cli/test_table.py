"""`dagma table` shows and exports the tables that flows have answered."""

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dagma.batches.answer_table import AnswerTable
from dagma.batches.errors import TableError
from dagma.batches.row_result import RowResult
from dagma.batches.staged_rows import StagedRow
from dagma.batches.tables_database import tables_from_environment
from dagma.cli import main


@pytest.fixture(autouse=True)
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of two answers and a failed row."""
    monkeypatch.setenv("DAGMA_TABLES_URL", f"sqlite:///{tmp_path}/tables.db")
    table = AnswerTable(tables_from_environment(), "reviews")
    table.prepare({"id": "integer"}, {"label": "text"})
    rows = []
    for number in range(1, 4):
        row = StagedRow(number, str(number), {"id": number}, "?", asked="hash")
        failed = number == 3
        result = RowResult(
            key=str(number),
            row=row.kept,
            output=None if failed else {"label": "=good"},
            error="It broke." if failed else None,
            error_kind="FlowFailed" if failed else None,
            answered_at=datetime(2026, 1, 31, tzinfo=UTC),
        )
        rows.append((row, result))
    table.write(rows, generation=0)


def test_a_table_is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagma.cli.table.SHOWN_ROWS", 1)
    assert main(["table", "show", "reviews"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:4] == ["ID", "LABEL", "ERROR", "ERROR"]
    assert shown[1].split()[:2] == ["1", "=good"]
    assert shown[2] == "... 2 more rows; `dagma table export` prints all"


def test_failed_rows_are_shown_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "show", "reviews", "--failed"]) == 0
    shown = capsys.readouterr().out
    assert "It broke." in shown
    assert "good" not in shown


def test_a_table_is_exported_as_csv_that_no_spreadsheet_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "export", "reviews", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["label"] == "'=good"


def test_a_table_is_exported_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "export", "reviews"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (rows[0]["id"], rows[0]["label"], rows[2]["error"]) == (1, "=good", "It broke.")


def test_a_table_is_exported_as_parquet(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["table", "export", "reviews", "--format", "parquet"]) == 0
    assert pq.read_table(io.BytesIO(capsysbinary.readouterr().out)).column("id").to_pylist() == [1, 2, 3]


def test_parquet_is_not_written_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["table", "export", "reviews", "--format", "parquet"]) == 1
    said = capsys.readouterr()
    assert "docker compose exec -T user-code dagma table export reviews --format parquet > reviews.parquet" in said.err
    assert said.out == ""


@pytest.mark.parametrize(("form", "written"), [("csv", 2), ("jsonl", 1), ("parquet", 0)])
def test_an_export_that_breaks_off_says_so(
    form: str, written: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = AnswerTable.rows

    def broken(table: AnswerTable) -> Iterator[dict[str, Any]]:
        yield from itertools.islice(rows(table), 1)
        raise TableError("The database went away.")

    monkeypatch.setattr(AnswerTable, "rows", broken)
    assert main(["table", "export", "reviews", "--format", form]) == 1
    said = capsys.readouterr()
    assert (said.err, said.out.count("\n")) == ("dagma: The database went away.\n", written)


@pytest.mark.parametrize("command", ["show", "export"])
def test_a_mistake_is_told_in_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", command, "reviewz"]) == 1
    said = capsys.readouterr().err
    assert re.search("There is no table 'reviewz' in .*It has reviews", said)
    assert said.count("\n") == 1
