"""What people see beside the materialization of a table."""

import itertools
from collections.abc import Mapping
from typing import Any

import dagster as dg

from dagma.batches.answer_table import AnswerTable
from dagma.batches.progress import Progress
from dagma.calls.call_record import record_texts, show_table
from dagma.wording import counted

PREVIEW_ROWS = 10
PREVIEW_COLUMNS = 20
PREVIEW_CHARACTERS = 200


def describe_batch(progress: Progress) -> dict[str, Any]:
    """Tell what a batch did: a figure for each thing that can be plotted from one materialization to the next."""
    figures: dict[str, Any] = {
        "rows_asked": progress.done,
        "rows_unchanged": progress.unchanged,
        "rows_failed": progress.failed,
        "tokens": progress.tokens,
        "seconds": dg.MetadataValue.float(round(progress.seconds, 1)),
        "rows_per_second": dg.MetadataValue.float(round(progress.rows_per_second, 2)),
    }
    # A cost that is not known is not 0.
    if progress.cost_usd or not progress.unpriced:
        figures["cost_usd"] = dg.MetadataValue.float(round(progress.cost_usd, 6))
    rare = {
        "rows_unpriced": progress.unpriced,
        "rows_not_asked": progress.to_ask - progress.done,
        "rows_copied": progress.copied,
        "rows_found": progress.found,
        "rows_vanished": progress.vanished,
        "estimate_for_all_rows": progress.estimate,
    }
    return figures | {name: value for name, value in rare.items() if value} | describe_errors(progress.errors)


def describe_errors(errors: Mapping[str, int]) -> dict[str, Any]:
    """Tell how many rows failed, by kind of error; nothing where none did. As a text, which the UI shows at once."""
    return {"errors_by_kind": tell_errors(errors)} if errors else {}


def tell_errors(errors: Mapping[str, int]) -> str:
    """Say how many rows failed, by kind of error: `AnswerFault: 2 rows, BadFile: 1 row`."""
    return ", ".join(f"{kind}: {counted(count, 'rows')}" for kind, count in errors.items())


def preview(table: AnswerTable) -> dict[str, Any]:
    """Show the first rows of a table, unless answers are not to be recorded in Dagster, and how many rows it has."""
    count = {"dagster/row_count": table.count()}
    if not record_texts():
        return count
    columns = table.columns[:PREVIEW_COLUMNS]
    rows = itertools.islice(table.rows(columns), PREVIEW_ROWS)
    return count | {"preview": show_table(rows, columns, PREVIEW_CHARACTERS)}
