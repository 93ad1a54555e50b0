"""Tables of answers as the inputs of downstream assets: as what their annotation asks for."""

import typing
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from typing_extensions import override

from dagma.batches.answer_table import AnswerTable
from dagma.batches.arrow_tables import arrow_chunks, arrow_schema
from dagma.batches.errors import RowsError
from dagma.batches.tables_database import tables_from_environment

# SQLite takes 32,766 values in a query.
MOST_PARTITIONS = 10_000


class StoredTable:
    """A table of answers that is read when it is iterated: dicts, a thousand at a time, as often as one likes.

    Args:
        name: The table.
        partitions: The partitions to read; all rows where it is None.
    """

    def __init__(self, name: str, partitions: Sequence[str] | None = None) -> None:
        self.name = name
        self._partitions = partitions

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for table in self._tables():
            yield from table.rows()

    def __len__(self) -> int:
        return sum(table.count() for table in self._tables())

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return self._table().columns

    def to_arrow(self) -> Any:
        """Read it as a `pyarrow.Table`."""
        import pyarrow as pa

        nothing = arrow_schema(self._table()).empty_table()
        return pa.concat_tables([nothing, *(chunk for table in self._tables() for chunk in arrow_chunks(table))])

    def to_pandas(self) -> Any:
        """Read it as a `pandas.DataFrame`."""
        import pandas as pd

        return pd.DataFrame.from_records(list(self), columns=self.columns)

    def to_polars(self) -> Any:
        """Read it as a `polars.DataFrame`; needs pyarrow, too."""
        import polars as pl

        return pl.from_arrow(self.to_arrow())

    def _tables(self) -> list[AnswerTable]:
        """Give what reads the rows, of many partitions at a time: one by one, each would be looked up for itself."""
        if self._partitions is None:
            return [self._table()]
        starts = range(0, len(self._partitions), MOST_PARTITIONS)
        return [self._table(self._partitions[start : start + MOST_PARTITIONS]) for start in starts]

    def _table(self, partitions: Sequence[str] | None = None) -> AnswerTable:
        return AnswerTable(tables_from_environment(), self.name, partitions=partitions)


class StoredTables(dg.IOManager):
    """Gives downstream assets a table; it is written while its batch runs, and not by this."""

    @override
    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        pass

    @override
    def load_input(self, context: dg.InputContext) -> Any:
        partitions = list(context.asset_partition_keys) if context.has_asset_partitions else None
        table = StoredTable(table_name_of(context.asset_key), partitions)
        wanted = context.dagster_type.typing_type
        wanted = typing.get_origin(wanted) or wanted
        if wanted is Any or (isinstance(wanted, type) and isinstance(table, wanted)):
            return table
        # By name: none of these libraries need be installed.
        library = getattr(wanted, "__module__", "").partition(".")[0]
        match library, getattr(wanted, "__name__", ""):
            case "builtins", "list":
                return list(table)
            case "pandas", "DataFrame":
                return table.to_pandas()
            case "polars", "DataFrame":
                return table.to_polars()
            case "polars", "LazyFrame":
                return table.to_polars().lazy()
            case "pyarrow", "Table":
                return table.to_arrow()
        raise RowsError(
            f"The table {table.name} can't be given as {wanted!r}. Annotate the parameter with list, a pandas or "
            "polars DataFrame, pyarrow.Table or dagma.StoredTable."
        )


# An empty shape: nothing of it can be set at launch.
@dg.io_manager(config_schema={}, description="Tables that flows have answered, in the database of DAGMA_TABLES_URL.")
def stored_tables(_context: dg.InitResourceContext) -> StoredTables:
    """Give the tables of this process."""
    return StoredTables()


def table_name_of(asset_key: dg.AssetKey) -> str:
    """Name the table of an asset: its key's parts, joined by `__`."""
    return "__".join(asset_key.path)
