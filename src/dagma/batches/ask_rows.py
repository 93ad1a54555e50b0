"""Ask a flow about rows, in a few lines of Python."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagma.backends.backend import Backend
from dagma.backends.selection import backend_from_environment
from dagma.batches.answer_table import AnswerTable
from dagma.batches.batch import Batch
from dagma.batches.batch_settings import BatchSettings, Refresh, Vanished
from dagma.batches.row_result import RowResult
from dagma.batches.row_sources import Rows
from dagma.batches.tables_database import tables_from_environment


def ask_rows(
    rows: Rows,
    *,
    key: str,
    input: str,  # noqa: A002 (as in YAML)
    flow: str | None = None,
    output: Mapping[str, Any] | None = None,
    keep: Sequence[str] = (),
    table: str | None = None,
    backend: Backend | None = None,
    tweaks: Mapping[str, Any] | None = None,
    files: Mapping[str, Any] | None = None,
    session: str | None = None,
    concurrency: int = 8,
    max_cost_usd: float | None = None,
    max_failed: float | str | None = None,
    sample: int | None = None,
    refresh: Refresh = "changed",
    vanished: Vanished = "mark",
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
        flow: Id or endpoint name of the flow; the default flow where it is None.
        output: Columns to answer with, such as `{"label": {"enum": ["good", "bad"]}, "reason": "string"}`. Without it
            the output is `{"answer": text}`.
        keep: Columns of the input that results have, beside the key.
        table: A table that keeps the answers, in the database of `DAGMA_TABLES_URL`. With it only rows are asked that
            are new, changed or failed before; all are yielded, those with a kept answer first.
        backend: What answers; the one that the environment names where it is None.
        tweaks: Fields of the flow by component id; texts in it are templates.
        files: Files for fields of the flow, by `component.field`: templates that give a path in the project's data
            folder or bytes, such as `{"File-a1b2c.path": "data/{{ row.file }}"}`, or lists of them.
        session: Template of a session that calls share; without it each has one of its own.
        concurrency: How many calls may be in flight. The batch finds its own level below it.
        max_cost_usd: What the calls may cost together, in USD.
        max_failed: How many rows may fail: a number, or a share of the rows that are asked (0.05, or `5%`).
        sample: Ask so many rows only.
        refresh: Which rows of the table are asked again: `changed`, `failed` or `all`.
        vanished: What becomes of rows of the table that are not in `rows` any more: `mark` or `drop`.

    Yields:
        The rows, answered or failed, in the order of their ends.

    Raises:
        RowsError: The rows, their keys or the arguments can't be used. Nothing was sent.
        BatchStopped: `max_cost_usd` or `max_failed` was reached.
        LangflowError: No row can be asked, since the flow is not there or its server stays away.
        LedgerError: The same: a quota leaves no room, or the ledger is away.
    """
    settings = BatchSettings(
        input=input,
        key=key,
        flow=flow,
        output=output,
        keep=keep,
        tweaks=tweaks,
        files=files,
        session=session,
        concurrency=concurrency,
        max_cost_usd=max_cost_usd,
        max_failed=max_failed,
        sample=sample,
        refresh=refresh,
        vanished=vanished,
    )
    batch = Batch(
        rows,
        settings,
        backend=backend or backend_from_environment().with_values(),
        table=None if table is None else AnswerTable(tables_from_environment(), table),
    )
    return batch.results(with_unchanged=True)
