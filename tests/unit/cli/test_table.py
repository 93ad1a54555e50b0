"""`dagma table` lists, shows and exports the tables that flows have answered."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dagma.batches.answer_table import AnswerTable
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


def test_tables_are_listed_with_their_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "list"]) == 0
    assert capsys.readouterr().out.split() == ["reviews", "3", "rows", "1", "failed"]


def test_a_table_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "show", "reviews", "--rows", "1"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:4] == ["ID", "LABEL", "ERROR", "ERROR"]
    assert shown[1].split()[:2] == ["1", "=good"]
    assert shown[2] == "... 2 more rows; --rows 3 prints all"


def test_a_number_of_rows_that_there_can_not_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["table", "show", "reviews", "--rows", "-1"])
    assert "'-1' is no whole number" in capsys.readouterr().err


def test_failed_rows_are_shown_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "show", "reviews", "--failed"]) == 0
    shown = capsys.readouterr().out
    assert "It broke." in shown
    assert "good" not in shown


def test_a_table_is_exported_as_csv_that_no_spreadsheet_runs(tmp_path: Path) -> None:
    assert main(["table", "export", "reviews", str(tmp_path / "out.csv")]) == 0
    with (tmp_path / "out.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["label"] == "'=good"


def test_a_table_is_exported_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "export", "reviews", "-", "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (rows[0]["id"], rows[0]["label"], rows[2]["error"]) == (1, "=good", "It broke.")


def test_a_table_is_exported_as_parquet(tmp_path: Path) -> None:
    assert main(["table", "export", "reviews", str(tmp_path / "out.parquet")]) == 0
    assert pq.read_table(tmp_path / "out.parquet").column("id").to_pylist() == [1, 2, 3]


def test_parquet_goes_to_a_pipe(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["table", "export", "reviews", "-", "--format", "parquet"]) == 0
    assert pq.read_table(io.BytesIO(capsysbinary.readouterr().out)).column("id").to_pylist() == [1, 2, 3]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_folder_that_can_not_be_written_is_told_with_the_way_that_works(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Below a plain file nothing can be made, nor removed, whoever asks; as in a read-only container.
    file = tmp_path / "tables.db" / f"out.{form}"
    assert main(["table", "export", "reviews", str(file)]) == 1
    said = capsys.readouterr().err
    assert f"{file} can't be written: Not a directory." in said
    shown = f"dagma table export reviews - --format {form} > {file}`"
    assert f"`docker compose exec -T user-code {shown}" in said


def test_a_database_without_tables_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGMA_TABLES_URL", f"sqlite:///{tmp_path}/empty.db")
    assert main(["table", "list"]) == 0
    assert re.fullmatch(r"There is no table in sqlite:.*empty.db yet.\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "reviewz"], "There is no table 'reviewz' in .*It has reviews"),
        (["export", "reviews", "out.xlsx"], "tells no format"),
        (["export", "reviews", "/nowhere/at/all.csv"], "can't be written: No such file"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", *arguments]) == 1
    said = capsys.readouterr().err
    assert re.search(told, said)
    assert said.count("\n") == 1


def test_a_partition_that_a_table_does_not_have_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "show", "reviews", "--partition", "dee"]) == 1
    assert "The table 'reviews' has no partition 'dee'. It has none." in capsys.readouterr().err
