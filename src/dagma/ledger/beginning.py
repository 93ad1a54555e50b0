"""The row that a call begins with, and how many of them are inserted at a time."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, TextClause, bindparam, or_, select, text

from dagma.ledger.call import Begun, Call
from dagma.ledger.quotas import Reservation, canonical_flow
from dagma.ledger.tables import UtcTime, calls
from dagma.ledger.texts import TextPolicy, storable

NAMES = (
    *("scope", "flow_id", "flow_name", "flow_title", "flow_version"),
    *("backend", "session_id", "run_id", "step"),
)
"""Texts of a call that have a column of the same name."""
# As far back as the longest window of a limit, so that what is not found costs no walk through all that ever was.
KNOWN_DAYS = 31
NEWEST_OF_ADDRESS = (
    select(calls.c.flow_id, calls.c.flow_name)
    .where(
        or_(calls.c.flow_id == bindparam("address"), calls.c.flow_name == bindparam("address")),
        calls.c.backend == bindparam("of_backend"),
        # Only calls whose flow was looked up have one.
        calls.c.flow_version.is_not(None),
        calls.c.begun_at >= bindparam("since", type_=UtcTime),
    )
    .order_by(calls.c.begun_at.desc())
    .limit(1)
)


def as_recorded(connection: Connection, call: Call, now: datetime) -> Call:
    """Give a call as the ledger records it. Its key is made of the call as its caller gave it.

    Returns:
        The call with texts that the database can hold. A flow that was not looked up has the id and name that it had
        when it last was; where that is not known, its id is written as Langflow writes ids.
    """
    names = (*NAMES, "partition", "row", "principal", "flow_address")
    given = {name: value for name in names if (value := getattr(call, name)) is not None}
    changed: dict[str, Any] = {name: kept for name, value in given.items() if (kept := storable(value)) != value}
    call = replace(call, **changed) if changed else call
    return call if call.flow_looked_up else _identified(connection, call, now)


def _identified(connection: Connection, call: Call, now: datetime) -> Call:
    address = call.flow_address or call.flow_id
    values = {"address": canonical_flow(address), "of_backend": call.backend, "since": now - timedelta(days=KNOWN_DAYS)}
    known = connection.execute(NEWEST_OF_ADDRESS, values).first()
    if known is None:
        return replace(call, flow_id=canonical_flow(call.flow_id), flow_address=address)
    return replace(call, flow_id=known.flow_id, flow_name=known.flow_name, flow_address=address, flow_looked_up=True)


def row_of(call: Call, texts: TextPolicy) -> dict[str, Any]:
    """Describe a call by the columns that never change.

    Who inserts the row adds its id, key, attempt, state and reservation.
    """
    return {
        **{name: getattr(call, name) for name in NAMES},
        "partition_key": call.partition,
        "row_key": call.row,
        "mode": call.mode,
        "principal": call.counted_principal or None,
        "input_characters": len(call.input_text or ""),
        "input_hash": call.input_hash,
        "input_text": texts.of_text(call.input_text),
    }


@dataclass(frozen=True)
class Beginning:
    """An attempt that is about to begin.

    Attributes:
        call: The call, as it is recorded.
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
        """Describe an attempt. Its `key` is made of the call as its caller gave it; `call` is as it is recorded."""
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
        """Say that the call is to be sent."""
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


def insert_beginnings(connection: Connection, beginnings: Sequence[Beginning], now: datetime) -> dict[str, Begun]:
    """Insert attempts unless they exist, in one statement where the database is a server.

    Args:
        connection: In a transaction.
        beginnings: The attempts.
        now: The time by this machine, which SQLite goes by.

    Returns:
        By id, what to do with those that did not exist.
    """
    # In one order of totals and keys, so that two transactions wait for each other and never both.
    ordered = sorted(beginnings, key=lambda each: (each.call.flow_id, each.row["principal"] or "", each.row["key"]))
    if connection.dialect.name == "sqlite":
        new = [each for each in ordered if insert_once(connection, calls, {**each.row, "begun_at": now})]
        return {each.row["id"]: each.begun(now) for each in new}
    by_id = {each.row["id"]: each for each in ordered}
    rows = json.dumps([each.row for each in ordered], default=str)
    inserted = connection.execute(_insert_all_once(tuple(ordered[0].row)), {"rows": rows}) if ordered else ()
    # PostgreSQL's own time, which the windows of limits go by whatever this machine's clock says.
    return {row.id: by_id[row.id].begun(row.begun_at.astimezone(UTC)) for row in inserted}


def insert_once(connection: Connection, table: Table, values: dict[str, Any], on_conflict: str = "DO NOTHING") -> bool:
    """Insert a row unless its key is taken, waiting for whoever inserts that now; tell whether a row was written."""
    return connection.execute(_insert_once(table, tuple(values), on_conflict), values).rowcount > 0


@cache
def _insert_once(table: Table, names: tuple[str, ...], on_conflict: str) -> TextClause:
    # Both databases read this, and SQLAlchemy's own ON CONFLICT is compiled anew each time, which takes a millisecond.
    columns, values = ", ".join(names), ", ".join(f":{name}" for name in names)
    statement = f"INSERT INTO {table.name} ({columns}) VALUES ({values}) ON CONFLICT {on_conflict}"  # noqa: S608 (names of our own)
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
