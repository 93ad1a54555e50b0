"""Tables of answers as Arrow and Parquet, by pyarrow: without it an ImportError is raised."""

import itertools
from collections.abc import Iterator
from typing import Any

from dagma.batches.answer_table import AnswerTable

CHUNK_ROWS = 10_000


def arrow_schema(table: AnswerTable) -> Any:
    """Give the `pyarrow.Schema` of a table's visible columns."""
    import pyarrow as pa

    types = {
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "text": pa.string(),
        "time": pa.timestamp("us", tz="UTC"),
    }
    return pa.schema([(name, types[kind]) for name, kind in table.kinds.items()])


def arrow_chunks(table: AnswerTable) -> Iterator[Any]:
    """Yield the rows as `pyarrow.Table`s of ten thousand each."""
    import pyarrow as pa

    schema, rows = arrow_schema(table), table.rows()
    while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
        yield pa.Table.from_pylist(chunk, schema=schema)


def write_parquet(table: AnswerTable, path: str) -> None:
    """Write a table to a Parquet file, a chunk at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, arrow_schema(table)) as writer:
        for chunk in arrow_chunks(table):
            writer.write_table(chunk)
