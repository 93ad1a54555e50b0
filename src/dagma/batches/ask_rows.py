"""Ask a flow about rows, in a few lines of Python."""

from collections.abc import Iterator
from typing import Any

from dagma.backends.backend import Backend
from dagma.backends.selection import backend_from_environment
from dagma.batches.answer_table import AnswerTable
from dagma.batches.batch import Batch
from dagma.batches.batch_settings import BatchSettings
from dagma.batches.row_result import RowResult
from dagma.batches.row_sources import Rows
from dagma.batches.tables_database import tables_from_environment


def ask_rows(
    rows: Rows,
    *,
    key: str,
    input: str,  # noqa: A002 (as in YAML)
    table: str | None = None,
    backend: Backend | None = None,
    **settings: Any,
) -> Iterator[RowResult]:
    """Ask a flow about each row, many at a time, and yield the answers as they come.

        for review in ask_rows(reviews, key="id", input="{{ row.text }}", output={"label": {"enum": ["good", "bad"]}}):
            print(review.key, review.output or review.error)

    A row that fails is yielded with its error, and the others go on. Rows are read once, before the first call, to a
    temporary file: keys that are missing or twice are refused before anything is sent.

    Args:
        rows: A list or generator of dicts; a pandas, polars or Arrow table; `{"csv": path}`, `{"jsonl": path}` or
            `{"parquet": path}`; or `{"sql": query, "url": address}`.
        key: The column that tells rows apart.
        input: What to ask of a row: a Jinja template over `row`.
        table: A table that keeps the answers, in the database of `DAGMA_TABLES_URL`. With it only rows are asked that
            are new, changed or failed before; all are yielded, those with a kept answer first.
        backend: What answers; the one that the environment names where it is None.
        **settings: Further attributes of a table, as `dagma.FlowTable` has them: `flow`, `output` (without it results
            have `{"answer": text}`), `keep`, `tweaks`, `files`, `session`, `concurrency`, `max_cost_usd`,
            `max_failed`, `sample`, `refresh` and `vanished`.

    Yields:
        The rows, answered or failed, in the order of their ends.

    Raises:
        RowsError: The rows, their keys or the arguments can't be used. Nothing was sent.
        BatchStopped: `max_cost_usd` or `max_failed` was reached.
        LangflowError: No row can be asked, since the flow is not there or its server stays away.
        LedgerError: The same: a quota leaves no room, or the ledger is away.
        TypeError: There is no such attribute.
    """
    batch = Batch(
        rows,
        BatchSettings(key=key, input=input, **settings),
        backend=backend or backend_from_environment().with_values(),
        table=None if table is None else AnswerTable(tables_from_environment(), table),
    )
    return batch.results(with_unchanged=True)
