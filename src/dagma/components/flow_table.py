"""A table that a flow answers, as an asset."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import dagster as dg

from dagma.backends.backend import Backend
from dagma.batches.answer_table import AnswerTable, checked_table_name
from dagma.batches.batch import Batch
from dagma.batches.batch_settings import BatchSettings, Refresh, Vanished
from dagma.batches.errors import BatchStopped, RowsError, TableError
from dagma.batches.progress import Progress
from dagma.batches.tables_database import tables_from_environment
from dagma.calls.call_record import record_texts, show_table
from dagma.calls.retrying import CALL_ERRORS, retry_or_fail
from dagma.components.stored_tables import stored_tables, table_name_of
from dagma.wording import counted

CHECK = "rows_failed"
"""The check of every such asset: does the table hold rows that failed?"""
PREVIEW_ROWS = 10
PREVIEW_COLUMNS = 20
PREVIEW_CHARACTERS = 200


def flow_table(
    *,
    asset: str | Sequence[str] | dg.AssetKey,
    rows: str | dg.AssetKey | dg.AssetsDefinition | Mapping[str, Any] | Callable[[], Any],
    key: str,
    input: str,  # noqa: A002 (as in YAML)
    flow: str | None = None,
    output: Mapping[str, Any] | None = None,
    keep: Sequence[str] = (),
    tweaks: Mapping[str, Any] | None = None,
    files: Mapping[str, Any] | None = None,
    session: str | None = None,
    concurrency: int = 8,
    max_cost_usd: float | None = None,
    max_failed: float | str | None = None,
    sample: int | None = None,
    refresh: Refresh = "changed",
    vanished: Vanished = "mark",
    partitions_def: dg.PartitionsDefinition[Any] | None = None,
    partition_column: str | None = None,
    pool: str | None = None,
    **spec: Any,
) -> dg.AssetsDefinition:
    """Make an asset of a table whose rows a flow answers.

        reviews_labelled = flow_table(
            asset="reviews_labelled",
            rows="reviews",
            key="id",
            input="{{ row.text }}",
            output={"label": {"enum": ["positive", "negative"]}, "reason": "string"},
        )

    Materializing it asks the rows that are new or changed, or failed before. Downstream assets get the table as what
    their parameter is annotated with: `list`, a pandas or polars `DataFrame`, a `pyarrow.Table`, or, without an
    annotation, something to iterate that reads a thousand rows at a time.

    Args:
        asset: The asset's key. The table has its name, with `__` between the parts.
        rows: An upstream asset; what `dagma.ask_rows` takes as a mapping; or a function that gives the rows.
        key: The column that tells rows apart.
        input: What to ask of a row: a Jinja template over `row`.
        flow: Id or endpoint name of the flow; the default flow where it is None.
        output: Columns to answer with; the column `answer` with the answer's text where it is None.
        keep: Columns of the input that the table has, beside the key.
        tweaks: Fields of the flow by component id; texts in it are templates.
        files: Files for fields of the flow, by `component.field`: templates that give a path in the project's data
            folder or bytes, such as `{"File-a1b2c.path": "data/{{ row.file }}"}`, or lists of them.
        session: Template of a session that calls share; without it each has one of its own.
        concurrency: How many calls may be in flight.
        max_cost_usd: What the calls of one materialization may cost together, in USD.
        max_failed: How many rows may fail: a number, or a share of the rows that are asked (0.05, or `5%`).
        sample: Ask so many rows only, and tell what all would cost.
        refresh: Which rows are asked again: `changed`, `failed` or `all`.
        vanished: What becomes of rows that are not in the input any more: `mark` or `drop`.
        partitions_def: The asset's partitions. Each asks the rows whose `partition_column` has its key.
        partition_column: That column.
        pool: A pool that limits how many materializations run at a time.
        **spec: Whatever else `dagster.asset` takes, such as `group_name`, `description` or `automation_condition`.

    Raises:
        RowsError: Something can't be used; the message says what.
        TableError: No table can have this name.
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
    check_partitions(partitions_def, partition_column)
    asset_key = dg.AssetKey.from_coercible(asset)
    rows = rows.key if isinstance(rows, dg.AssetsDefinition) else rows  # else it would be a function that gives rows
    upstream = dg.AssetKey.from_coercible(rows) if isinstance(rows, str | dg.AssetKey) else None
    source = f"each row of {upstream.to_user_string()}" if upstream else "each row"
    flow = f"the flow {settings.flow}" if settings.flow else "the default flow"
    options: dict[str, Any] = {
        "kinds": {"langflow", "table"},
        "description": f"The answers of {flow} to {source}.",
        **spec,
        "key": asset_key,
        "check_specs": [
            dg.AssetCheckSpec(CHECK, asset=asset_key, description="Fails if rows of the table have no answer.")
        ],
        "io_manager_def": stored_tables,
        "partitions_def": partitions_def,
        "pool": pool,
    }
    name = checked_table_name(table_name_of(asset_key))

    def materialize(context: dg.AssetExecutionContext, backend: Backend, rows: Any) -> Iterator[Any]:
        """Ask the rows, or those that a function gives, and yield what Dagster is to record."""
        partition = context.partition_key if partition_column else ""
        table = AnswerTable(tables_from_environment(), name, partition)
        progress = Progress()
        try:
            batch = Batch(
                rows() if callable(rows) else rows,
                settings,
                backend=backend,
                table=table,
                partition=(partition_column, partition) if partition_column else None,
                on_progress=lambda told: context.log.info("%s: %s", name, told),
            )
            progress = batch.progress
            for _ in batch.results():
                pass
        except CALL_ERRORS as error:
            retry_or_fail(
                error, retry_number=context.retry_number, metadata=_describe_batch(progress), policy=backend.policy
            )
        except BatchStopped as error:
            yield _check(table)
            raise _failure(error, progress, _shown(table, "failed_rows")) from error
        except (RowsError, TableError) as error:
            raise _failure(error, progress) from error
        context.log.info("%s: %s", name, _ended(progress))
        yield _check(table)
        count = {"dagster/row_count": table.count()}
        yield dg.MaterializeResult(value=None, metadata=_describe_batch(progress) | count | _shown(table, "preview"))

    # The parameters of an asset's function are its inputs: with upstream rows it has one more.
    if upstream is not None:
        made: dg.AssetsDefinition = dg.asset(**options, ins={"rows": dg.AssetIn(upstream)})(materialize)
    else:

        def materialize_source(context: dg.AssetExecutionContext, backend: Backend) -> Any:
            yield from materialize(context, backend, rows)

        made = dg.asset(**options)(materialize_source)
    return made


def check_partitions(partitions_def: dg.PartitionsDefinition | None, partition_column: str | None) -> None:
    """Refuse partitions whose rows can't be told apart.

    Raises:
        RowsError: One of the two is missing, or a key is.
    """
    if (partitions_def is None) != (partition_column is None):
        raise RowsError("Partitions need both: partitions_def, and the partition_column that tells their rows apart.")
    keys = partitions_def.get_partition_keys() if isinstance(partitions_def, dg.StaticPartitionsDefinition) else None
    if keys is not None and not all(keys or [""]):
        raise RowsError("The partitions_def has no keys, or an empty one. Give each partition a key.")


def _check(table: AnswerTable) -> dg.AssetCheckResult:
    errors = table.failures()
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not errors,
        severity=dg.AssetCheckSeverity.WARN,
        description=_tell_errors(errors) or None,
        metadata=_describe_errors(errors),
    )


def _failure(error: Exception, progress: Progress, shown: Mapping[str, Any] | None = None) -> dg.Failure:
    return dg.Failure(
        description=f"{type(error).__name__}: {error}",
        metadata={"error": type(error).__name__, "cause": str(error), **_describe_batch(progress), **(shown or {})},
        # A table that can't be reached may be in a minute; nothing else passes by itself.
        allow_retries=isinstance(error, TableError),
    )


def _ended(progress: Progress) -> str:
    told = f"{counted(progress.done, 'rows')} asked, {progress.unchanged:,} unchanged, {progress.failed:,} failed"
    return f"{told}. All would take: {progress.estimate}." if progress.estimate else f"{told}."


def _describe_batch(progress: Progress) -> dict[str, Any]:
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
    return figures | {name: value for name, value in rare.items() if value} | _describe_errors(progress.errors)


def _describe_errors(errors: Mapping[str, int]) -> dict[str, Any]:
    """Tell how many rows failed, by kind of error; nothing where none did. As a text, which the UI shows at once."""
    return {"errors_by_kind": _tell_errors(errors)} if errors else {}


def _tell_errors(errors: Mapping[str, int]) -> str:
    """Say how many rows failed, by kind of error: `AnswerFault: 2 rows, BadFile: 1 row`."""
    return ", ".join(f"{kind}: {counted(count, 'rows')}" for kind, count in errors.items())


def _shown(table: AnswerTable, name: Literal["preview", "failed_rows"]) -> dict[str, Any]:
    """Show the first rows of a table, or those that failed, unless answers are not to be recorded in Dagster."""
    if not record_texts():
        return {}
    columns = table.columns[:PREVIEW_COLUMNS]
    rows = list(itertools.islice(table.rows(columns, failed=name == "failed_rows"), PREVIEW_ROWS))
    return {name: show_table(rows, columns, PREVIEW_CHARACTERS)} if rows else {}
