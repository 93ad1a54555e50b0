"""Questions to the ledger: which calls were there, and where limits stand. `totals.py` adds up what was used."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, func, or_, select

from dagma.ledger.database import Database
from dagma.ledger.errors import NoSuchRecordError
from dagma.ledger.quotas import EVERY, Limit, used, window_end
from dagma.ledger.tables import calls, rejections, usage_hours

Record = Mapping[str, Any]
ROWS_AT_A_TIME = 500
MOST_NAMED = 1000
FLOW_NAMES = ("flow_id", "flow_name", "flow_title")
ALL = "all"
# Of all hours of a flow: people know it by its endpoint name, else by its name.
FLOW_SHOWN = func.coalesce(
    func.max(usage_hours.c.flow_name), func.max(usage_hours.c.flow_title), usage_hours.c.flow_id
).label("flow")
QUERY = select(calls, rejections.c.rejected_at, rejections.c.reason.label("rejected_reason")).outerjoin(rejections)


def last_calls(database: Database, count: int, *conditions: ColumnElement[bool]) -> list[Record]:
    """Give the newest calls that meet all conditions, the oldest of them first."""
    query = QUERY.where(*conditions).order_by(calls.c.begun_at.desc(), calls.c.id.desc()).limit(count)
    with database.read() as connection:
        return [dict(row) for row in reversed(connection.execute(query).mappings().all())]


def find_calls(database: Database, name: str) -> list[Record]:
    """Find the calls whose id, key, run or job begins so, the oldest first; of very many those unknown and the newest.

    Raises:
        NoSuchRecordError: There is none.
    """
    is_named = or_(*(begins(column, name) for column in (calls.c.id, calls.c.key, calls.c.run_id, calls.c.job_id)))
    query = QUERY.where(is_named).order_by(calls.c.state != "unknown", calls.c.begun_at.desc()).limit(MOST_NAMED)
    with database.read() as connection:
        if found := [dict(row) for row in connection.execute(query).mappings()]:
            return sorted(found, key=lambda row: (row["begun_at"], row["id"]))
    raise NoSuchRecordError(f"No call's id, key, run or job begins with {name!r}.")


def of_run(database: Database, name: str) -> ColumnElement[bool]:
    """Choose the calls of runs whose id begins so.

    Raises:
        NoSuchRecordError: There is none.
    """
    return _met(database, begins(calls.c.run_id, name), f"run whose id begins with {name!r}")


def of_flow(database: Database, name: str) -> ColumnElement[bool]:
    """Choose the calls of flows that had this endpoint name, name or id, or else whose id begins so.

    Raises:
        NoSuchRecordError: There is none.
    """
    return _met(database, is_flow(calls, name), f"flow {name!r}")


def is_flow(table: Table, name: str) -> ColumnElement[bool]:
    """Match the flows of calls, or of totals, that had this name or id; where none had, those whose id begins so."""
    named = table.alias()
    here, anywhere = (or_(*(each.c[it] == name for it in FLOW_NAMES)) for each in (table, named))
    return or_(here, and_(begins(table.c.flow_id, name), ~select(named.c.flow_id).where(anywhere).exists()))


def begins(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Match the ids that begin so; a NoSuchRecordError if it is empty, as a shell's variable is that is not set."""
    if not name:
        raise NoSuchRecordError("An empty text names no call, run or flow. Give a name, or the beginning of an id.")
    return column.startswith(name, autoescape=True)


def _met(database: Database, condition: ColumnElement[bool], what: str) -> ColumnElement[bool]:
    with database.read() as connection:
        if connection.scalar(select(calls.c.id).where(condition).limit(1)) is None:
            raise NoSuchRecordError(f"The ledger has no call of a {what}.")
    return condition


def all_calls(database: Database, *conditions: ColumnElement[bool]) -> Iterator[Record]:
    """Yield the calls that meet all conditions, the oldest first, as they stand at one moment."""
    with database.read() as connection:
        query = QUERY.where(*conditions).order_by(calls.c.begun_at, calls.c.id)
        streaming = connection.execution_options(yield_per=ROWS_AT_A_TIME)
        for row in streaming.execute(query).mappings():
            yield dict(row)


def standings(database: Database, limits: Sequence[Limit], now: datetime) -> list[Record]:
    """Tell where one stands with each limit.

    Returns:
        A line per limit; for one on each flow, or each principal, a line for each that it counts in its window. `used`
        are calls, tokens or USD of the current window, calls in flight included. `frees_at` is its end (UTC).
    """
    found: list[Record] = []
    with database.read() as connection:
        for limit in limits:
            query = used(limit, now)
            if limit.flow == EVERY:
                query = query.add_columns(FLOW_SHOWN).group_by(usage_hours.c.flow_id).order_by(usage_hours.c.flow_id)
            if limit.principal == EVERY:
                asker = usage_hours.c.principal
                query = query.add_columns(asker).group_by(asker).order_by(asker)
            for row in connection.execute(query).mappings():
                amount = Decimal(row["used"] or 0)
                found.append(
                    {
                        "limit": str(limit),
                        "flow": row.get("flow", limit.flow or ALL),
                        "principal": row.get("principal", limit.principal or ALL) or None,
                        "used": amount,
                        "left": max(limit.amount - amount, Decimal(0)),
                        "frees_at": window_end(limit.window, now),
                    }
                )
    return found
