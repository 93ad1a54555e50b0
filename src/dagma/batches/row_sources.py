"""Rows from whatever holds them, read as they come: lists, generators, data frames, Arrow, files, SQL queries."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from dagma.batches.errors import RowsError, reason_of
from dagma.ledger.database import has_misread_password
from dagma.project import project_folder

Row = Mapping[str, Any]
Rows = Any
"""What `read_rows` takes. Its types are those of libraries that need not be installed."""

CHUNK_ROWS = 1_000
MOST_CELL_CHARACTERS = 1 << 30
FORMS = (
    "Give a list or generator of dicts, a pandas or polars DataFrame, an Arrow table, {csv: path}, {jsonl: path}, "
    "{parquet: path}, or {sql: query, url: address}."
)


def read_rows(rows: Rows) -> Iterator[Row]:
    """Read rows one by one; never more than about a thousand are held in memory at a time.

    Args:
        rows: A list or generator of dicts; a pandas, polars or Arrow table; `{"csv": path}`, with `encoding` and
            `delimiter` where they are others than UTF-8 and a comma; `{"jsonl": path}`; `{"parquet": path}`; or
            `{"sql": query, "url": address}`.

    Yields:
        The rows, by their columns' names.

    Raises:
        RowsError: They can't be read; the message names the file and line, or the row.
    """
    number = 0
    try:
        for number, row in enumerate(_source(rows), start=1):
            if not isinstance(row, Mapping):
                raise RowsError(f"Row {number} is a {type(row).__name__}, not a dict of columns. {FORMS}")
            yield {str(name): value for name, value in row.items()}
    except RowsError:
        raise
    except Exception as error:
        # The code that gives the rows knows better than this whether to try again.
        error.add_note(f"The rows broke off after row {number:,}. Nothing was sent.")
        raise


def _source(rows: Rows) -> Iterable[Any]:
    if isinstance(rows, Mapping):
        return _declared(rows)
    library = type(rows).__module__.partition(".")[0]
    if library == "pandas":
        return _of_pandas(rows)
    if library == "polars":
        with _reading("The polars rows", "Give a DataFrame or a LazyFrame."):
            frames: Iterable[Any] = rows.lazy().collect().iter_rows(named=True)
        return frames
    if library == "pyarrow":
        return _of_arrow(rows)
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise RowsError(f"Rows can't be read from a {type(rows).__name__}. {FORMS}")
    return rows


def _declared(source: Mapping[str, Any]) -> Iterator[Row]:
    options = {name: value for name, value in source.items() if value is not None}
    match options:
        case {"csv": path, **rest} if not rest.keys() - {"encoding", "delimiter"}:
            return _read_csv(path, **rest)
        case {"jsonl": path, **rest} if not rest:
            return _read_json_lines(path)
        case {"parquet": path, **rest} if not rest:
            return _read_parquet(path)
        case {"sql": query, "url": url, **rest} if not rest:
            return _of_query(query, url)
    raise RowsError(
        f"Rows can't be read from an object of {', '.join(sorted(map(str, options))) or 'nothing'}. {FORMS}"
    )


def _of_query(query: str, url: str) -> Iterator[Row]:
    """Send a query as it stands, and read its rows a thousand at a time where the database can do that."""
    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
        if has_misread_password(engine.url):
            raise ValueError
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError):  # which can quote a part of the password
        raise RowsError(
            "The URL of the rows' database can't be read, or its driver is not installed. Write "
            "postgresql://user:password@host/database, and percent-encode @ : / in the password."
        ) from None
    fix = "Correct the query or its URL. List a database outside the stack in DAGMA_OUTBOUND in .env, then `make up`."
    with _reading("The rows' query", fix), engine.connect() as opened:
        connection = opened.execution_options(yield_per=CHUNK_ROWS, no_parameters=True)
        found = connection.exec_driver_sql(query)
        names = _checked_header("The rows' query", list(found.keys()))
        for row in found:
            # Bytes that a driver only points to would have another text each time.
            values = (bytes(value) if isinstance(value, memoryview) else value for value in row)
            yield dict(zip(names, values, strict=True))


def _of_pandas(frame: Any) -> Iterator[Row]:
    with _reading("The pandas rows", "Give a DataFrame, as of .reset_index()."):
        _refuse_columns_twice("The frame", [str(name) for name in frame.columns])
        for start in range(0, len(frame), CHUNK_ROWS):
            yield from frame.iloc[start : start + CHUNK_ROWS].to_dict("records")


def _of_arrow(table: Any) -> Iterator[Row]:
    with _reading("The Arrow rows", "Give a Table, a RecordBatch or a reader of them."):
        _refuse_columns_twice("The table", table.schema.names)
        for batch in table.to_batches() if hasattr(table, "to_batches") else table:
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                yield from batch.slice(start, CHUNK_ROWS).to_pylist()


def _read_csv(path: str, encoding: str = "utf-8-sig", delimiter: str = ",") -> Iterator[Row]:
    """Read a CSV file with a header; all values are texts."""
    csv.field_size_limit(MOST_CELL_CHARACTERS)  # Python's own is 128 KB
    fix = "Check the path of the file, its delimiter, and its encoding: UTF-8 unless you name another."
    with _reading(path, fix), (project_folder() / path).open(encoding=encoding, newline="") as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = _checked_header(path, next(reader, []))
            for cells in filter(None, reader):
                if len(cells) != len(header):
                    raise RowsError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells, and the header has {len(header)}. "
                        f"Quote cells that hold {delimiter!r} or a line break, or set the delimiter."
                    )
                yield dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise RowsError(f"{path}, line {reader.line_num}: {error}. Check its quotes.") from None


def _read_json_lines(path: str) -> Iterator[Row]:
    """Read a file with a JSON object in each line, in UTF-8; empty lines are left out."""
    with (
        _reading(path, "Check the path, and that the file is in UTF-8."),
        (project_folder() / path).open(encoding="utf-8-sig") as lines,
    ):
        for number, line in enumerate(lines, start=1):
            if line.strip():
                with _reading(f"{path}, line {number},", "Write one JSON object a line."):
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise TypeError(f"it is a {type(row).__name__}")
                yield row


def _read_parquet(path: str) -> Iterator[Row]:
    """Read a Parquet file, a thousand rows at a time."""
    with _reading(path, "Check the path, and that pyarrow is in project/requirements.txt."):
        import pyarrow.parquet as pq

        with pq.ParquetFile(project_folder() / path) as file:
            _refuse_columns_twice(path, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=CHUNK_ROWS):
                yield from batch.to_pylist()


@contextmanager
def _reading(what: str, fix: str) -> Iterator[None]:
    """Say what can't be read, in the words of the library that can't, and what to do.

    Raises:
        RowsError: The library raised.
    """
    try:
        yield
    except RowsError:
        raise
    except Exception as error:  # noqa: BLE001 (each library has errors of its own)
        raise RowsError(f"{what} can't be read ({type(error).__name__}): {reason_of(error)}. {fix}") from None


def _checked_header(where: str, header: list[str]) -> list[str]:
    """Refuse a header without names, or with two columns of one name."""
    if not header or "" in header:
        raise RowsError(f"{where} has no header, or a column without a name. Give each column a name of its own.")
    _refuse_columns_twice(where, header)
    return header


def _refuse_columns_twice(where: str, names: list[str]) -> None:
    """Refuse columns of one name, of which a row would have the last one only."""
    if len(set(names)) < len(names):
        raise RowsError(f"{where} has two columns of one name. Give each column a name of its own.")
