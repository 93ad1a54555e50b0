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


@pytest.mark.parametrize(
    "rows",
    [pd.Series([1, 2]), pd.DataFrame(COLUMNS).groupby("id"), pd.DataFrame(COLUMNS).groupby("id")["text"].max()],
    ids=["a column", "groups", "a value of each group"],
)
def test_what_pandas_has_no_rows_of_is_told(rows: Any) -> None:
    with pytest.raises(RowsError, match=r"The pandas rows can't be read.*Give a DataFrame, as of \.reset_index\(\)"):
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


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame([[1, 2]], columns=["id", "id"]),
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"]),
    ],
    ids=["pandas", "Arrow"],
)
def test_two_columns_of_one_name_are_refused(rows: object) -> None:
    with pytest.raises(RowsError, match="two columns of one name"):
        list(read_rows(rows))


@pytest.mark.parametrize("rows", [pl.Series([1, 2]), pa.array([1, 2])], ids=["polars", "Arrow"])
def test_a_column_alone_is_refused(rows: object) -> None:
    with pytest.raises(RowsError, match=r"rows can't be read.*Give a"):
        list(read_rows(rows))
