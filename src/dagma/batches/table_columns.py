"""The columns of a table of answers: those that each has, their types, and how a table that is there gets others."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, DateTime, Float, Integer, MetaData, Table, Text
from sqlalchemy.types import TypeEngine

from dagma.batches.errors import TableError
from dagma.batches.row_result import RowResult
from dagma.batches.values import Kind, common_kind

_TYPES: Mapping[Kind, Callable[[], TypeEngine[Any]]] = {
    "integer": BigInteger,
    "number": lambda: Float(53),
    "boolean": Boolean,
    "text": Text,
}


def _own_columns() -> list[Column[Any]]:
    return [
        Column("row_key", Text, primary_key=True),
        Column("partition_key", Text, primary_key=True),
        Column("error", Text),
        Column("error_kind", Text),
        Column("attempts", Integer, nullable=False),
        Column("call_id", Text),
        Column("flow_version", Text),
        Column("model", Text),
        Column("tokens", BigInteger),
        Column("cost_usd", Float(53)),
        Column("seconds", Float(53)),
        Column("answered_at", DateTime(timezone=True)),
        Column("vanished_at", DateTime(timezone=True)),
        Column("position", BigInteger, nullable=False),
        Column("asked", Text),
        Column("generation", Integer, nullable=False),
    ]


OWN_COLUMNS = tuple(column.name for column in _own_columns())
"""The columns that every table has. No column of the input or output can have one of these names."""
RESULT_COLUMNS = tuple(name for name in OWN_COLUMNS if name in RowResult.__dataclass_fields__)
"""Those that hold the fields of a `RowResult` of the same names."""
INTERNAL_COLUMNS = ("row_key", "partition_key", "position", "asked", "generation", "vanished_at")
"""Columns that decide what is asked again, and tell people nothing of a row that is there."""


def create_table(connection: Connection, name: str, declared: Mapping[str, Kind]) -> None:
    """Create a table of answers, with the columns that are declared; this fails where there is one."""
    row_key, partition_key, *others = _own_columns()
    columns = (Column(column, _TYPES[kind]()) for column, kind in declared.items())
    Table(name, MetaData(), row_key, partition_key, *columns, *others).create(connection, checkfirst=False)


def fit_table(connection: Connection, table: Table, declared: Mapping[str, Kind]) -> None:
    """Let a table that is there hold what is declared: with new columns, and with wider ones."""
    for name, kind in declared.items():
        if name not in table.columns:
            _add_column(connection, table, name, kind)
        elif common_kind(kind_of(table.columns[name]), kind) != kind_of(table.columns[name]):
            _widen_column(connection, table.columns[name], kind)


def kind_of(column: Column[Any]) -> Kind:
    """Tell what a column holds."""
    if isinstance(column.type, Boolean):
        return "boolean"
    if isinstance(column.type, Integer):
        return "integer"
    return "number" if isinstance(column.type, Float) else "text"


def _add_column(connection: Connection, table: Table, name: str, kind: Kind) -> None:
    written = _TYPES[kind]().compile(connection.dialect)
    _alter(connection, table, f"ADD COLUMN {_quoted(name)} {written}")


def _widen_column(connection: Connection, column: Column[Any], kind: Kind) -> None:
    """Let a column hold another kind as well."""
    if connection.dialect.name == "sqlite":
        raise TableError(
            f"The column {column.name!r} of the table {column.table.name!r} has the kind {kind_of(column)}, and now "
            f"holds {kind}, which SQLite can't change. Drop the column, and materialize the table again."
        )
    name, wide = _quoted(column.name), common_kind(kind_of(column), kind) or "text"
    written = _TYPES[wide]().compile(connection.dialect)
    _alter(connection, column.table, f"ALTER COLUMN {name} TYPE {written} USING CAST({name} AS {written})")


def _alter(connection: Connection, table: Any, change: str) -> None:
    statement = f"ALTER TABLE {_quoted(table.name)} {change}"
    connection.execution_options(no_parameters=True).exec_driver_sql(statement)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
