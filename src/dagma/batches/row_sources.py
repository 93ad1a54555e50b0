"""Rows from whatever holds them, read as they come: lists, generators, data frames, Arrow, files, SQL queries."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from dagma.batches.errors import RowsError, reason_of
from dagma.project import project_folder

Row = Mapping[str, Any]
Rows = Any
"""What `read_rows` takes. Its types are those of libraries that need not be installed."""

FILE_KINDS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
CHUNK_ROWS = 1_000
MOST_CELL_CHARACTERS = 1 << 30
# What drivers say of a host that no name server knows, and so of each that a worker has no route to.
UNKNOWN_HOST = re.compile(r"name or service not known|name resolution|(translate|resolve) host", re.IGNORECASE)
FORMS = (
    "Give a list or generator of dicts, a pandas or polars DataFrame, an Arrow table, {csv: path}, {jsonl: path}, "
    "{parquet: path}, or {sql: query, url: address}."
)


def read_rows(rows: Rows) -> Iterator[Row]:
    """Read rows one by one; never more than about a thousand are held in memory at a time.

    Args:
        rows: A list or generator of dicts; a pandas, polars or Arrow table; a path to a CSV, JSON lines or Parquet
            file; `{"csv": path}`, with `encoding` and `delimiter` where they are others than UTF-8 and a comma;
            `{"jsonl": path}`; `{"parquet": path}`; or `{"sql": query, "url": address}`.

    Yields:
        The rows, by their columns' names.

    Raises:
        RowsError: They can't be read; the message names the file and line, or the row.
    """
    yield from _checked(_source(rows))


def _source(rows: Rows) -> Iterable[Any]:
    if isinstance(rows, Mapping):
        return _declared(rows)
    if isinstance(rows, Path | str):
        kind = FILE_KINDS.get(Path(rows).suffix.lower())
        if kind is None:
            raise RowsError(f"{str(rows)!r} names no CSV, JSON lines or Parquet file. {FORMS}")
        return _declared({kind: rows})
    library = type(rows).__module__.partition(".")[0]
    if library == "pandas":
        return _of_pandas(rows)
    if library == "polars":
        return _of_polars(rows)
    if library == "pyarrow":
        return _of_arrow(rows)
    if isinstance(rows, bytes) or not isinstance(rows, Iterable):
        raise RowsError(f"Rows can't be read from a {type(rows).__name__}. {FORMS}")
    return rows


def _declared(source: Mapping[str, Any]) -> Iterator[Row]:
    options = {name: value for name, value in source.items() if value is not None}
    match options:
        case {"csv": path, **rest} if not rest.keys() - {"encoding", "delimiter"}:
            return _read_csv(project_folder() / path, **rest)
        case {"jsonl": path, **rest} if not rest:
            return _read_json_lines(project_folder() / path)
        case {"parquet": path, **rest} if not rest:
            return _read_parquet(project_folder() / path)
        case {"sql": query, "url": url, **rest} if not rest:
            return _of_query(query, url)
    raise RowsError(
        f"Rows can't be read from an object of {', '.join(sorted(map(str, options))) or 'nothing'}. {FORMS}"
    )


def _of_query(query: str, url: str) -> Iterator[Row]:
    """Send a query as it stands, and read its rows a thousand at a time where the database can do that."""
    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError):
        raise RowsError(
            "The URL of the rows' database can't be read, or its driver is not installed. Write "
            "postgresql://user:password@host/database, and percent-encode @ : / in the password."
        ) from None
    try:
        with engine.connect().execution_options(yield_per=CHUNK_ROWS, no_parameters=True) as connection:
            found = connection.exec_driver_sql(query)
            names = list(found.keys())
            _check_names_differ(names, "The rows' query")
            for row in found:
                # Bytes that a driver only points to would have another text each time.
                values = (bytes(value) if isinstance(value, memoryview) else value for value in row)
                yield dict(zip(names, values, strict=True))
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        reason = reason_of(cause)
        fix = ""
        if UNKNOWN_HOST.search(reason):
            fix = (
                " Correct the host in the URL. If it is outside the stack, add it with its port to DAGMA_OUTBOUND in "
                ".env, then `make up`."
            )
        raise RowsError(f"The rows' query failed ({type(cause).__name__}): {reason}.{fix}") from None


def _of_pandas(frame: Any) -> Iterator[Row]:
    with _explained("The pandas rows can't be read", "Give a DataFrame, as of .reset_index()."):
        _check_names_differ(frame.columns, "The DataFrame")
        for start in range(0, len(frame), CHUNK_ROWS):
            yield from frame.iloc[start : start + CHUNK_ROWS].to_dict("records")


def _of_polars(frame: Any) -> Iterator[Row]:
    with _explained("The polars rows can't be read", "Give a DataFrame, or a LazyFrame that can be collected."):
        if hasattr(frame, "collect"):
            frame = frame.collect()
        yield from frame.iter_rows(named=True)


def _of_arrow(table: Any) -> Iterator[Row]:
    with _explained("The Arrow rows can't be read", "Give a Table."):
        for batch in _arrow_batches(table):
            _check_names_differ(batch.schema.names, "The Arrow table")
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                yield from batch.slice(start, CHUNK_ROWS).to_pylist()


def _arrow_batches(table: Any) -> Iterable[Any]:
    if hasattr(table, "to_batches"):
        return table.to_batches()  # type: ignore[no-any-return]
    if hasattr(table, "num_rows"):
        return [table]  # a batch itself
    return table  # type: ignore[no-any-return]  # a reader


def _checked(rows: Iterable[Any]) -> Iterator[Row]:
    number = 0
    try:
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                raise RowsError(f"Row {number} is a {type(row).__name__}, not a dict of columns. {FORMS}")
            yield row if all(isinstance(name, str) for name in row) else _with_texts_as_names(row, number)
    except RowsError as error:
        # As people know the folder; a worker has a copy of it elsewhere.
        error.args = (str(error).replace(f"{project_folder()}/", "project/"),)
        raise
    except Exception as error:
        # The code that gives the rows knows better than this whether to try again.
        error.add_note(f"The rows broke off after row {number:,}. Nothing was sent.")
        raise


def _with_texts_as_names(row: Mapping[Any, Any], number: int) -> Row:
    _check_names_differ(map(str, row), f"Row {number}")
    return {str(name): row[name] for name in row}


def _read_csv(path: Path, encoding: str = "utf-8-sig", delimiter: str = ",") -> Iterator[Mapping[str, Any]]:
    """Read a CSV file with a header; all values are texts.

    Args:
        path: The file.
        encoding: Its encoding; UTF-8 by default, with or without a byte order mark.
        delimiter: What stands between two cells.

    Raises:
        RowsError: It can't be read; the message names the line.
    """
    check_csv_form(encoding, delimiter)
    csv.field_size_limit(MOST_CELL_CHARACTERS)  # Python's own is 128 KB
    with _reading(path), path.open(encoding=encoding, newline="") as lines:
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


def check_csv_form(encoding: str = "utf-8-sig", delimiter: str = ",") -> None:
    """Refuse an encoding that there is not, and a delimiter that can't be one.

    Raises:
        RowsError: One of the two can't be used.
    """
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise RowsError(f"The delimiter {delimiter!r} is not one character that can stand between cells.")
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise RowsError(f"There is no encoding {encoding!r}. Name one such as utf-8, latin-1 or utf-16.") from None


def _read_json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Read a file with a JSON object in each line, in UTF-8; empty lines are left out.

    Raises:
        RowsError: It can't be read; the message names the line.
    """
    with _reading(path), path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise RowsError(f"{path}, line {number}: no JSON ({error}). Write one object a line.") from None
            if not isinstance(row, dict):
                raise RowsError(f"{path}, line {number}: a {type(row).__name__}. Write one object a line.")
            yield row


def _read_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    """Read a Parquet file, a thousand rows at a time.

    Raises:
        RowsError: It can't be read, or pyarrow is not installed.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise RowsError(
            f"{path} needs pyarrow to be read. Add pyarrow to project/requirements.txt, then `make up`."
        ) from None
    fix = "Name a Parquet file that is there, and whole."
    with _explained(f"{path} can't be read", fix), pq.ParquetFile(path) as file:
        _check_names_differ(file.schema_arrow.names, str(path))
        for batch in file.iter_batches(batch_size=CHUNK_ROWS):
            yield from batch.to_pylist()


@contextmanager
def _explained(what: str, fix: str) -> Iterator[None]:
    """Say what can't be read, where a library can't read it.

    Args:
        what: What it is, and that it can't be read.
        fix: What to do.

    Raises:
        RowsError: The library raised; the message has its words.
    """
    try:
        yield
    except RowsError:
        raise
    except Exception as error:  # noqa: BLE001 (each library has errors of its own)
        raise RowsError(f"{what} ({type(error).__name__}): {reason_of(error)}. {fix}") from None


def _check_names_differ(names: Iterable[str], where: str) -> None:
    """Refuse columns of one name, of which a row would have the last one only.

    Raises:
        RowsError: Two have the same.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise RowsError(f"{where} has two columns {twice[0]!r}. Give each column a name of its own.")


def _checked_header(path: Path, header: list[str]) -> list[str]:
    if not header:
        raise RowsError(f"{path} has no header. Write the columns' names into its first line.")
    if "" in header:
        raise RowsError(f"{path}: the header has a column without a name. Give each column a name of its own.")
    _check_names_differ(header, f"{path}: the header")
    return header


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RowsError(f"{path} can't be read: {error.strerror or error}. Name a file that is there.") from None
    except UnicodeError as error:
        raise RowsError(
            f"{path} can't be decoded: {error}. Save it as UTF-8, or, if it is a CSV file, name its encoding."
        ) from None
