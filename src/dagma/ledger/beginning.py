"""The row that a call begins with, and how many of them are inserted at a time."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, TextClause, bindparam, text

from dagma.ledger.call import Begun, Call
from dagma.ledger.call_row import row_of
from dagma.ledger.meter import Reservation
from dagma.ledger.tables import calls
from dagma.ledger.texts import TextPolicy


@dataclass(frozen=True)
class Beginning:
    """An attempt that is about to begin.

    Attributes:
        call: The call, storable, with its flow identified.
        reservation: What it is taken to use.
        row: Its row. PostgreSQL adds the time.
    """

    call: Call
    reservation: Reservation
    row: dict[str, Any]

    @classmethod
    def of(
        cls, call: Call, reservation: Reservation, texts: TextPolicy, *, key: str, call_id: str, attempt: int
    ) -> "Beginning":
        """Describe an attempt.

        Args:
            call: The call, storable, with its flow identified.
            reservation: What it is taken to use.
            texts: What may be kept of its input.
            key: Its key, which is made of the call as its caller gave it.
            call_id: The ledger's id of the attempt.
            attempt: Its number.
        """
        row = {
            **row_of(call, texts),
            "id": call_id,
            "key": key,
            "attempt": attempt,
            "state": "begun",
            "reserved_tokens": reservation.tokens,
            "reserved_cost": reservation.cost,
        }
        return cls(call, reservation, row)

    def begun(self, begun_at: datetime) -> Begun:
        """Say that the call is to be sent.

        Args:
            begun_at: When it has begun.
        """
        return Begun(
            state="new",
            call_id=self.row["id"],
            key=self.row["key"],
            attempt=self.row["attempt"],
            begun_at=begun_at,
            mode=self.call.mode,
            flow_id=self.call.flow_id,
            flow_name=self.call.flow_name,
            input_characters=self.row["input_characters"],
            reserved_cost=self.reservation.cost,
        )


def insert_beginning(connection: Connection, beginning: Beginning, now: datetime) -> Begun | None:
    """Insert an attempt unless it exists.

    Args:
        connection: In a transaction.
        beginning: The attempt.
        now: The time by this machine, which SQLite goes by.

    Returns:
        What to do; None where the attempt exists.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    row = {**beginning.row, "begun_at": now} if is_sqlite else beginning.row
    inserted = insert_once(connection, calls, row, returning="begun_at")
    if inserted is None:
        return None
    # PostgreSQL's own time, which the windows of limits go by whatever this machine's clock says.
    return beginning.begun(now if is_sqlite else inserted[0].astimezone(UTC))


def insert_beginnings(connection: Connection, beginnings: Sequence[Beginning], now: datetime) -> dict[str, Begun]:
    """Insert attempts unless they exist, in one statement where the database is a server.

    Args:
        connection: In a transaction.
        beginnings: The attempts.
        now: The time by this machine, which SQLite goes by.

    Returns:
        What to do, by id, with those that did not exist.
    """
    # In one order of totals and keys, so that two transactions wait for each other and never both.
    ordered = sorted(beginnings, key=lambda each: (each.call.flow_id, each.row["principal"] or "", each.row["key"]))
    if connection.dialect.name == "sqlite":
        inserted = [insert_beginning(connection, each, now) for each in ordered]
        return {begun.call_id: begun for begun in inserted if begun is not None}
    by_id = {each.row["id"]: each for each in ordered}
    rows = json.dumps([each.row for each in ordered], default=str)
    begun_at = connection.execute(_insert_all_once(tuple(ordered[0].row)), {"rows": rows}) if ordered else ()
    return {row.id: by_id[row.id].begun(row.begun_at.astimezone(UTC)) for row in begun_at}


def insert_once(connection: Connection, table: Table, values: dict[str, Any], returning: str) -> Any:
    """Insert a row unless its key is taken, waiting for whoever is inserting the same key now.

    Args:
        connection: In a transaction.
        table: One of the ledger's tables.
        values: The row.
        returning: The column to return.

    Returns:
        A row with that column; None where nothing was inserted.
    """
    return connection.execute(_insert_once(table, tuple(values), returning), values).first()


@cache
def _insert_once(table: Table, names: tuple[str, ...], returning: str) -> TextClause:
    # Both databases read this, and SQLAlchemy's own ON CONFLICT is compiled anew each time, which takes a millisecond.
    columns, values = ", ".join(names), ", ".join(f":{name}" for name in names)
    statement = f"INSERT INTO {table.name} ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING RETURNING {returning}"  # noqa: S608 (names of our own)
    return text(statement).bindparams(*(bindparam(name, type_=table.c[name].type) for name in names))


@cache
def _insert_all_once(names: tuple[str, ...]) -> TextClause:
    # One statement and one parameter for any number of rows. Totals are counted after the last row was inserted: nobody
    # who waits for a row here holds a total that its inserter needs.
    columns = ", ".join(names)
    rows = "json_populate_recordset(NULL::calls, CAST(:rows AS json))"
    return text(
        f"INSERT INTO calls ({columns}) SELECT {columns} FROM {rows} ON CONFLICT DO NOTHING RETURNING id, begun_at"  # noqa: S608 (names of our own)
    )
