"""The SQL table that a batch fills: a row for each row of the input, written while the batch runs."""

import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    RowMapping,
    Table,
    Text,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from dagma.batches.errors import TableError
from dagma.batches.row_result import RowResult
from dagma.batches.staged_rows import StagedRow
from dagma.batches.table_columns import INTERNAL_COLUMNS, OWN_COLUMNS, RESULT_COLUMNS, create_table, fit_table, kind_of
from dagma.batches.tables_database import TablesDatabase
from dagma.batches.values import Kind, fitting, plain

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
CHUNK_ROWS = 1_000


_registry = Table(
    "dagma_tables",
    MetaData(),
    Column("name", Text, primary_key=True),
    Column("partition_key", Text, primary_key=True),
    Column("id", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("refreshing", Boolean, nullable=False),
)
"""The tables that batches have made. Others of the same database are never written to."""


class AnswerTable:
    """One table of answers, or one partition of it, which is empty where the table has none; or several, to be read.

    Raises:
        TableError: No table can have this name, or the database can't be used.
    """

    def __init__(
        self, database: TablesDatabase, name: str, partition: str = "", *, partitions: Sequence[str] | None = None
    ) -> None:
        self.name = checked_table_name(name)
        self.partition = partition
        self._partitions = partitions if partitions is not None or not partition else [partition]
        self._database = database
        self._table: Table | None = None
        self._written: tuple[str, ...] = ()

    @property
    def table(self) -> Table:
        """The table as the database has it."""
        if self._table is None:
            self._table = self._found()
            if self._table is None:
                raise TableError(f"There is no table {self.name!r} in {self._database.name}. Materialize it first.")
        return self._table

    @property
    def columns(self) -> list[str]:
        """The columns that tell people something, in order: key, kept ones, output, and what the calls took."""
        others = [name for name in self.table.columns.keys() if name not in OWN_COLUMNS]  # noqa: SIM118
        return [*others, *(name for name in OWN_COLUMNS if name not in INTERNAL_COLUMNS)]

    @property
    def kinds(self) -> dict[str, Kind | Literal["time"]]:
        """What each of `columns` holds."""
        columns = self.table.columns
        return {
            name: "time" if isinstance(columns[name].type, DateTime) else kind_of(columns[name])
            for name in self.columns
        }

    def prepare(self, kept: Mapping[str, Kind], output: Mapping[str, Kind], *, anew: bool = False) -> tuple[str, int]:
        """Create the table, or add what it lacks; columns that are not declared any more stay.

        Returns:
            The id of this partition of the table, which a table that is dropped and made again does not share; and the
            number of the refresh of all rows that a batch belongs to, where one that was broken off goes on: rows that
            were asked in an earlier one are asked again.
        """
        declared = {**kept, **output}
        self._written = (*OWN_COLUMNS, *declared)
        try:
            self._create_or_alter(declared)
        except TableError:
            # Another batch may have made the registry, the table or a column a moment ago.
            self._create_or_alter(declared)
        self._table = None
        values = {
            "name": self.name,
            "partition_key": self.partition,
            "id": uuid.uuid4().hex[:12],
            "generation": 0,
            "refreshing": False,
        }
        with self._database.begin() as connection:
            connection.execute(self._insert(_registry).values(values).on_conflict_do_nothing())
            registered = connection.execute(select(_registry).where(*self._registered())).one()
        return registered.id, registered.generation + (anew and not registered.refreshing)

    def begin_refresh(self, generation: int) -> None:
        """Record that a refresh of all rows begins, if it is a new one: every batch goes on with it until its end."""
        statement = update(_registry).where(*self._registered(), _registry.c.generation < generation)
        with self._database.begin() as connection:
            connection.execute(statement.values(generation=generation, refreshing=True))

    def end_refresh(self) -> None:
        """Record that every row has been asked in this refresh."""
        with self._database.begin() as connection:
            connection.execute(update(_registry).where(*self._registered()).values(refreshing=False))

    def known(self, keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Look up what the table has of some rows, by key."""
        query = select(self.table).where(*self._these(keys))
        with self._database.begin() as connection:
            found = [_with_zones(row) for row in connection.execute(query).mappings()]
        return {row["row_key"]: row for row in found}

    def keep_current(self, rows: Iterable[StagedRow], known: Mapping[str, Mapping[str, Any]]) -> None:
        """Bring rows up to date that are not asked: their kept columns, and that they are in the input."""
        current = [(row, {**self._fitting(row.kept), "vanished_at": None}) for row in rows]
        with self._database.begin() as connection:
            for row, values in current:
                if any(known[row.key][name] != value for name, value in values.items()):
                    change = update(self.table).where(*self._these([row.key]))
                    connection.execute(change.values({**values, "position": row.position}))

    def write(self, results: Sequence[tuple[StagedRow, RowResult]], generation: int) -> None:
        """Write rows, in one transaction; of those that the table has, columns that are not declared stay."""
        table = self.table
        # In one order, so that two batches wait for each other and never both.
        ordered = sorted(results, key=lambda each: each[0].key)
        records = [self._record(row, result, generation) for row, result in ordered]
        insert = self._insert(table)
        keys = ["partition_key", "row_key"]
        changes: dict[str, Any] = {name: insert.excluded[name] for name in self._written if name not in keys}
        with self._database.begin() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changes), records)

    def remove_vanished(self, missing: Callable[[Sequence[str]], list[str]], *, since: datetime, drop: bool) -> int:
        """Mark or drop the rows that are not in the input any more, or are from before partitions came or went.

        Args:
            missing: Gives those of some keys that the input lacks.
            since: When the input was read. What others have written since then is of a later one.
            drop: Drop them.
        """
        table, last = self.table, ""
        old = table.c.answered_at < since if drop else (table.c.answered_at < since) & table.c.vanished_at.is_(None)
        other_kind = table.c.partition_key == "" if self.partition else table.c.partition_key != ""
        gone_from = delete(table) if drop else update(table).values(vanished_at=datetime.now(UTC))
        with self._database.begin() as connection:
            count = connection.execute(gone_from.where(other_kind, old)).rowcount
        while True:
            query = select(table.c.row_key).where(table.c.partition_key == self.partition, old, table.c.row_key > last)
            with self._database.begin() as connection:
                keys = list(connection.scalars(query.order_by(table.c.row_key).limit(CHUNK_ROWS)))
                if not keys:
                    return count
                last = keys[-1]
                gone = missing(keys)
                if gone:
                    connection.execute(gone_from.where(*self._these(gone)))
                count += len(gone)

    def rows(self, columns: Sequence[str] | None = None, *, failed: bool = False) -> Iterator[dict[str, Any]]:
        """Read the rows that are in the input, in its order when they were asked, a thousand at a time.

        Args:
            columns: Which columns; those of `columns` where it is None.
            failed: Only those that have an error instead of an answer.

        Yields:
            The rows. Times are in UTC.
        """
        table = self.table
        query = select(*(table.c[name] for name in columns or self.columns)).where(*self._current())
        if failed:
            query = query.where(table.c.error_kind.is_not(None))
        query = query.order_by(table.c.partition_key, table.c.position, table.c.row_key)
        with self._database.read(CHUNK_ROWS) as connection:
            for row in connection.execute(query).mappings():
                yield _with_zones(row)

    def count(self) -> int:
        """Count the rows, without those that have vanished."""
        with self._database.begin() as connection:
            return connection.execute(select(func.count()).select_from(self.table).where(*self._current())).scalar_one()

    def failures(self) -> dict[str, int]:
        """Count the rows that have an error instead of an answer, by its kind."""
        table = self.table
        query = (
            select(table.c.error_kind, func.count())
            .where(*self._current(), table.c.error_kind.is_not(None))
            .group_by(table.c.error_kind)
            .order_by(func.count().desc(), table.c.error_kind)
        )
        with self._database.begin() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def _these(self, keys: Iterable[str]) -> tuple[Any, ...]:
        return (self.table.c.partition_key == self.partition, self.table.c.row_key.in_(list(keys)))

    def _current(self) -> tuple[Any, ...]:
        table = self.table
        mine = () if self._partitions is None else (table.c.partition_key.in_(self._partitions),)
        return (*mine, table.c.vanished_at.is_(None))

    def _registered(self) -> tuple[Any, ...]:
        return (_registry.c.name == self.name, _registry.c.partition_key == self.partition)

    def _found(self) -> Table | None:
        found = self._database.reflected(self.name)
        if found is not None and not set(OWN_COLUMNS) <= set(found.columns.keys()):
            raise TableError(
                f"{self._database.name} has a table {self.name!r} that is no table of answers. Rename the asset, or "
                "choose another table or database."
            )
        return found

    def _create_or_alter(self, declared: Mapping[str, Kind]) -> None:
        existing = self._found()
        with self._database.begin() as connection:
            connection.execute(CreateTable(_registry, if_not_exists=True))
            if existing is None:
                # Of a table that was dropped. They stay if another batch makes the table first: making it fails then.
                connection.execute(delete(_registry).where(_registry.c.name == self.name))
                create_table(connection, self.name, declared)
            else:
                fit_table(connection, existing, declared)

    def _insert(self, table: Table) -> Any:
        return (postgresql if self._database.dialect == "postgresql" else sqlite).insert(table)

    def _record(self, row: StagedRow, result: RowResult, generation: int) -> dict[str, Any]:
        return {
            **dict.fromkeys(self._written),
            **self._fitting({**row.kept, **(result.output or {})}),
            **{name: getattr(result, name) for name in RESULT_COLUMNS},
            "row_key": row.key,
            "partition_key": self.partition,
            "position": row.position,
            "asked": row.asked,
            "generation": generation,
        }

    def _fitting(self, values: Mapping[str, Any]) -> dict[str, Any]:
        columns = self.table.columns
        return {name: fitting(plain(value), kind_of(columns[name])) for name, value in values.items()}


def checked_table_name(name: str) -> str:
    """Return a name if a table can have it; else raise a `TableError`."""
    if not NAME.fullmatch(name) or name == _registry.name:
        raise TableError(f"{name!r} can't be the name of a table. Use at most 63 letters, digits and underscores.")
    return name


def table_names(database: TablesDatabase) -> list[str]:
    """List the tables of answers that a database has."""
    existing = database.table_names()
    if _registry.name not in existing:
        return []
    with database.begin() as connection:
        return sorted(set(connection.scalars(select(_registry.c.name))) & set(existing))


def _with_zones(row: RowMapping) -> dict[str, Any]:
    """Give a record whose times have their zone, which SQLite does not keep."""
    times = {
        name: value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        for name, value in row.items()
        if isinstance(value, datetime)
    }
    return {**row, **times}
