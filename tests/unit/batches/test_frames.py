"""Rows of data frames, Arrow tables and Parquet files."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dagma.batches.errors import RowsError
from dagma.batches.row_sources import read_rows
from dagma.batches.values import key_text, plain

MANY = 2_500
"""More than are read at a time."""
COLUMNS = {"id": list(range(MANY)), "text": [f"review {number}" for number in range(MANY)]}


def stream() -> pa.RecordBatchReader:
    table = pa.table(COLUMNS)
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=700))


@pytest.mark.parametrize(
    "make",
    [
        lambda: pd.DataFrame(COLUMNS),
        lambda: pl.DataFrame(COLUMNS),
        lambda: pl.LazyFrame(COLUMNS),
        lambda: pa.table(COLUMNS),
        stream,
    ],
    ids=["pandas", "polars", "lazy polars", "Arrow", "Arrow stream"],
)
def test_a_frame_is_read_row_by_row(make: Callable[[], Any]) -> None:
    rows = list(read_rows(make()))
    assert len(rows) == MANY
    assert rows[-1] == {"id": MANY - 1, "text": f"review {MANY - 1}"}


NO_ROWS = r"The pandas rows can't be read.*Give a DataFrame, as of \.reset_index\(\)"
TWICE = "two columns of one name"
ALONE = r"rows can't be read.*Give a"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (pd.Series([1, 2]), NO_ROWS),
        (pd.DataFrame(COLUMNS).groupby("id"), NO_ROWS),
        (pd.DataFrame(COLUMNS).groupby("id")["text"].max(), NO_ROWS),
        (pd.DataFrame([[1, 2]], columns=["id", "id"]), TWICE),
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"]), TWICE),
        (pl.Series([1, 2]), ALONE),
        (pa.array([1, 2]), ALONE),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_frame_that_has_no_rows_or_two_columns_of_one_name_is_refused(rows: Any, told: str) -> None:
    with pytest.raises(RowsError, match=told):
        list(read_rows(rows))


def test_a_parquet_file_is_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table(COLUMNS), path)
    rows = list(read_rows({"parquet": str(path)}))
    assert (len(rows), rows[0]) == (MANY, {"id": 0, "text": "review 0"})


def test_a_parquet_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    whole = io.BytesIO()
    pq.write_table(pa.table(COLUMNS), whole)
    path = tmp_path / "half.parquet"
    path.write_bytes(whole.getvalue()[: whole.tell() // 2])
    with pytest.raises(RowsError, match=r"half.parquet can't be read(.|\n)*Check the path, and that pyarrow"):
        list(read_rows({"parquet": path}))


def test_times_of_numpy_are_times_and_no_numbers() -> None:
    times = pd.DataFrame({"at": [pd.Timestamp("2026-01-31 12:30")], "for": [pd.Timedelta(hours=36)]})
    assert plain(times["at"].values[0]) == key_text(times["at"].values[0]) == "2026-01-31T12:30:00"
    assert plain(times["for"].values[0]) == "1 day, 12:00:00"
