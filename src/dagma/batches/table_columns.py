"""The columns of a table of answers: their types, and how a table that is there gets others."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Float, Integer, Table, Text
from sqlalchemy.types import TypeEngine

from dagma.batches.values import Kind, common_kind

_TYPES: Mapping[Kind, Callable[[], TypeEngine[Any]]] = {
    "integer": BigInteger,
    "number": lambda: Float(53),
    "boolean": Boolean,
    "text": Text,
}


def sql_type(kind: Kind) -> TypeEngine[Any]:
    """Give the type of a column that holds values of a kind."""
    return _TYPES[kind]()


def kind_of(column: Column[Any]) -> Kind:
    """Tell what a column holds."""
    if isinstance(column.type, Boolean):
        return "boolean"
    if isinstance(column.type, Integer):
        return "integer"
    return "number" if isinstance(column.type, Float) else "text"


def add_column(connection: Connection, table: Table, name: str, kind: Kind) -> None:
    """Add a column of a kind to a table, in the transaction of the connection."""
    written = sql_type(kind).compile(connection.dialect)
    _execute(connection, f"ALTER TABLE {_quoted(table.name)} ADD COLUMN {_quoted(name)} {written}")


def widen_column(connection: Connection, column: Column[Any], kind: Kind) -> None:
    """Let a column hold another kind as well; SQLite can't change a type, so a new column takes its place.

    Args:
        connection: In a transaction.
        column: The column of a table that is there.
        kind: What it is to hold, beside what it holds.
    """
    table, old, new = _quoted(column.table.name), _quoted(column.name), _quoted("dagma_widened")
    before = kind_of(column)
    wide = common_kind(before, kind) or "text"
    written = sql_type(wide).compile(connection.dialect)
    value = f"CAST({old} AS {written})"
    if before == "boolean":
        value = f"CASE WHEN {old} IS NULL THEN NULL WHEN {old} THEN 'true' ELSE 'false' END"
    if connection.dialect.name == "postgresql":
        _execute(connection, f"ALTER TABLE {table} ALTER COLUMN {old} TYPE {written} USING {value}")
        return
    add_column(connection, column.table, "dagma_widened", wide)
    _execute(connection, f"UPDATE {table} SET {new} = {value}")  # noqa: S608 (quoted names)
    _execute(connection, f"ALTER TABLE {table} DROP COLUMN {old}")
    _execute(connection, f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _execute(connection: Connection, statement: str) -> None:
    connection.execution_options(no_parameters=True).exec_driver_sql(statement)
