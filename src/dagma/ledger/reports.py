"""Questions to the ledger: which calls were there, and where limits stand. `totals.py` adds up what was used."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from dagma.ledger.database import Database
from dagma.ledger.errors import NoSuchRecordError
from dagma.ledger.quotas import EVERY, Limit, used, window_end
from dagma.ledger.tables import calls, rejections, usage_hours

Record = Mapping[str, Any]
ROWS_AT_A_TIME = 500
MOST_NAMED = 1000
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
    """Find the calls whose id, key, run or job begins so, the oldest first; of very many the newest.

    Raises:
        NoSuchRecordError: There is none.
    """
    if not name:
        raise NoSuchRecordError("An empty text names no call. Give the beginning of a call's id, key, run or job.")
    named_by = (calls.c.id, calls.c.key, calls.c.run_id, calls.c.job_id)
    begins = [column.startswith(name, autoescape=True) for column in named_by]
    if found := last_calls(database, MOST_NAMED, or_(*begins)):
        return found
    raise NoSuchRecordError(f"No call's id, key, run or job begins with {name!r}.")


def of_run(database: Database, name: str) -> ColumnElement[bool]:
    """Choose the calls of runs whose id begins so.

    Raises:
        NoSuchRecordError: There is none.
    """
    return _met(database, calls.c.run_id.startswith(name, autoescape=True), f"run whose id begins with {name!r}")


def of_flow(database: Database, name: str) -> ColumnElement[bool]:
    """Choose the calls of flows that had this endpoint name or name, or whose id begins so.

    Raises:
        NoSuchRecordError: There is none.
    """
    has_name = or_(
        calls.c.flow_name == name, calls.c.flow_title == name, calls.c.flow_id.startswith(name, autoescape=True)
    )
    return _met(database, has_name, f"flow {name!r}")


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
