"""Rows of CSV, JSON lines and Parquet files."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    with _reading(path, encoding), path.open(encoding=encoding, newline="") as lines:
        try:
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
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
        except TypeError:
            raise RowsError(f"The delimiter {delimiter!r} is not one character.") from None


def read_json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Read a file with a JSON object in each line; empty lines are left out.

    Args:
        path: The file, in UTF-8.

    Raises:
        RowsError: It can't be read; the message names the line.
    """
    with _reading(path, "utf-8-sig"), path.open(encoding="utf-8-sig") as lines:
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

    Args:
        path: The file.

    Raises:
        RowsError: It can't be read, or pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise RowsError(
            f"{path} needs pyarrow to be read. Add pyarrow to project/requirements.txt, then `make up`."
        ) from None
    with _reading(path, "binary"):
        try:
            for batch in pq.ParquetFile(path).iter_batches(batch_size=CHUNK_ROWS):
                yield from batch.to_pylist()
        except pa.ArrowInvalid as error:
            raise RowsError(f"{path} can't be read as Parquet: {error}.") from None


def _checked_header(path: Path, header: list[str]) -> list[str]:
    if not header:
        raise RowsError(f"{path} has no header. Write the columns' names into its first line.")
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice or "" in header:
        what = f"names {twice[0]!r} twice" if twice and twice[0] else "has a column without a name"
        raise RowsError(f"{path}: the header {what}. Give each column a name of its own.")
    return header


@contextmanager
def _reading(path: Path, encoding: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RowsError(f"{path} can't be read: {error.strerror or error}. Name a file that is there.") from None
    except LookupError:
        raise RowsError(f"There is no encoding {encoding!r}. Name one such as utf-8, latin-1 or utf-16.") from None
    except UnicodeError as error:
        raise RowsError(
            f"{path} is not {encoding.removesuffix('-sig')}: {error}. Save it as UTF-8, or name its encoding."
        ) from None
