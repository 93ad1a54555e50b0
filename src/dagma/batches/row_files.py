"""Rows of CSV, JSON lines and Parquet files."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from dagma.batches.errors import RowsError

FILE_KINDS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
CHUNK_ROWS = 1_000
MOST_CELL_CHARACTERS = 1 << 30


def read_csv(path: Path, encoding: str = "utf-8-sig", delimiter: str = ",") -> Iterator[Mapping[str, Any]]:
    """Read a CSV file with a header; all values are texts.

    Args:
        path: The file.
        encoding: Its encoding; UTF-8 by default, with or without a byte order mark.
        delimiter: What stands between two cells.

    Raises:
        RowsError: It can't be read; the message names the line.
    """
    csv.field_size_limit(MOST_CELL_CHARACTERS)  # Python's own is 128 KB
    with _reading(path), _opened(path, encoding) as lines:
        try:
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
        except (TypeError, ValueError):
            raise RowsError(f"The delimiter {delimiter!r} is not one character that can stand between cells.") from None
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


def read_json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Read a file with a JSON object in each line, in UTF-8; empty lines are left out.

    Raises:
        RowsError: It can't be read; the message names the line.
    """
    with _reading(path), _opened(path, "utf-8-sig") as lines:
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


def read_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
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
    with explained(f"{path} can't be read", fix), pq.ParquetFile(path) as file:
        check_names_differ(file.schema_arrow.names, str(path))
        for batch in file.iter_batches(batch_size=CHUNK_ROWS):
            yield from batch.to_pylist()


@contextmanager
def explained(what: str, fix: str) -> Iterator[None]:
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
        reason = (str(error).strip().splitlines() or [""])[0]
        raise RowsError(f"{what} ({type(error).__name__}): {reason.rstrip('.')}. {fix}") from None


def check_names_differ(names: Iterable[str], where: str) -> None:
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
    check_names_differ(header, f"{path}: the header")
    return header


def _opened(path: Path, encoding: str) -> TextIO:
    try:
        return path.open(encoding=encoding, newline="")
    except LookupError:
        raise RowsError(f"There is no encoding {encoding!r}. Name one such as utf-8, latin-1 or utf-16.") from None


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
