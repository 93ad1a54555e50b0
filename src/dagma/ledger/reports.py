"""Questions to the ledger: which calls were there, and where limits stand. `totals.py` adds up what was used."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from dagma.ledger.database import Database
from dagma.ledger.errors import NoSuchRecordError
from dagma.ledger.formats import one_line
from dagma.ledger.quotas import COLUMNS, EVERY, Limit, canonical_flow, named, window_end, window_start
from dagma.ledger.tables import calls, rejections, usage_hours

Record = Mapping[str, Any]
ROWS_AT_A_TIME = 500
MOST_LISTED = 20
NAMED_BY = ((calls.c.id, "calls"), (calls.c.key, "keys"), (calls.c.run_id, "runs"), (calls.c.job_id, "jobs"))
FLOW_NAMES = (calls.c.flow_id, calls.c.flow_name, calls.c.flow_title)
TOTALS_NAMES = (usage_hours.c.flow_id, usage_hours.c.flow_name, usage_hours.c.flow_title)
# People know a flow by its endpoint name, else by its name: by the one that it had last.
_newest = usage_hours.alias()
_name = func.coalesce(_newest.c.flow_name, _newest.c.flow_title)
FLOW_SHOWN = func.coalesce(
    select(_name)
    .where(_newest.c.flow_id == usage_hours.c.flow_id, _name.is_not(None))
    .order_by(_newest.c.hour.desc())
    .limit(1)
    .correlate(usage_hours)
    .scalar_subquery(),
    usage_hours.c.flow_id,
).label("flow")
QUERY = select(calls, rejections.c.rejected_at, rejections.c.reason.label("rejected_reason")).outerjoin(rejections)


@dataclass(frozen=True)
class NamedFlow:
    """What a name stands for.

    Attributes:
        ids: The flow's id; those of all flows that have or had this name.
        names: The same, and the names of these flows.
    """

    ids: frozenset[str]
    names: frozenset[str]


@dataclass(frozen=True)
class Filter:
    """Which calls to look at; what is None does not matter.

    Attributes:
        flow_ids: The ids of the flow, or of the flows of one name.
        state: The call's state.
        run_id: The Dagster run.
        since: Calls begun at this time or later.
        until: Calls begun before this time.
    """

    flow_ids: Collection[str] | None = None
    state: str | None = None
    run_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Give the filter as SQL conditions that must all hold."""
        conditions: list[ColumnElement[bool]] = []
        if self.flow_ids is not None:
            conditions.append(calls.c.flow_id.in_(self.flow_ids))
        if self.state is not None:
            conditions.append(calls.c.state == self.state)
        if self.run_id is not None:
            conditions.append(calls.c.run_id == self.run_id)
        if self.since is not None:
            conditions.append(calls.c.begun_at >= self.since)
        if self.until is not None:
            conditions.append(calls.c.begun_at < self.until)
        return conditions


@dataclass(frozen=True)
class Standing:
    """How much of a limit is used, calls in flight included.

    Attributes:
        limit: The limit.
        flow: The flow that the figure is about; None for all flows.
        principal: The principal that it is about; None for all.
        used: Calls, tokens or USD in the current window.
        frees_at: When the window ends (UTC).
    """

    limit: Limit
    flow: str | None
    principal: str | None
    used: Decimal
    frees_at: datetime

    @property
    def left(self) -> Decimal:
        """What is left of the limit, at least 0."""
        return max(self.limit.amount - self.used, Decimal(0))


def last_calls(database: Database, count: int, which: Filter) -> list[Record]:
    """Give the newest calls, the oldest of them first."""
    query = QUERY.where(*which.conditions()).order_by(calls.c.begun_at.desc(), calls.c.id.desc()).limit(count)
    with database.read() as connection:
        return [dict(row) for row in reversed(connection.execute(query).mappings().all())]


def find_calls(database: Database, name: str) -> list[Record]:
    """Find a call by its id, or the calls of a key, a run or a job, the oldest first; the beginning of each will do.

    Raises:
        NoSuchRecordError: There is none, or several have ids, keys, runs or jobs that begin so.
    """
    if not name:
        raise NoSuchRecordError("An empty text names no call. Give the beginning of a call's id, key, run or job.")
    with database.read() as connection:
        for column, what in NAMED_BY:
            if found := _resolve(connection, column, name, what):
                query = QUERY.where(column == found).order_by(calls.c.begun_at, calls.c.id)
                return [dict(row) for row in connection.execute(query).mappings()]
    raise NoSuchRecordError(f"No call's id, key, run or job begins with {name!r}.")


def resolve_run(database: Database, name: str) -> str:
    """Find the run that the beginning of its id names.

    Raises:
        NoSuchRecordError: No call is of such a run, or several runs begin so.
    """
    with database.read() as connection:
        found = _resolve(connection, calls.c.run_id, name, "runs") if name else None
    if found is None:
        raise NoSuchRecordError(f"No call in the ledger is of a run whose id begins with {name!r}.")
    return found


def resolve_flow(database: Database, name: str) -> NamedFlow:
    """Find the flow that an id, the beginning of an id, an endpoint name or a name stands for.

    Returns:
        The flow; all flows of the name, where several have or had it.

    Raises:
        NoSuchRecordError: The ledger knows no such flow, or several ids begin so.
    """
    name = canonical_flow(name)
    with database.read() as connection:
        rows = _flows_where(connection, [each == name for each in TOTALS_NAMES], [each == name for each in FLOW_NAMES])
        if not rows and name and (found := _resolve(connection, calls.c.flow_id, name, "flows")):
            rows = [(found, None, None)]
        ids = frozenset(row[0] for row in rows)
        if ids:
            rows += _flows_where(connection, [usage_hours.c.flow_id.in_(ids)], [])
            return NamedFlow(ids, frozenset(each for row in rows for each in row if each is not None))
        known = sorted(set(connection.scalars(select(FLOW_SHOWN).group_by(usage_hours.c.flow_id))))
    raise NoSuchRecordError(
        f"The ledger has no call of a flow {name!r}. It has calls of: {_listed(known) or 'no flow'}."
    )


def _flows_where(
    connection: Connection, in_totals: list[ColumnElement[bool]], in_calls: list[ColumnElement[bool]]
) -> list[Any]:
    """Give ids and names of flows; the totals know those whose calls are pruned, calls those that were only refused."""
    found = list(connection.execute(select(*TOTALS_NAMES).where(or_(*in_totals)).distinct()))
    if not found and in_calls:
        found = list(connection.execute(select(*FLOW_NAMES).where(or_(*in_calls)).distinct()))
    return found


def _resolve(connection: Connection, column: ColumnElement[Any], name: str, what: str) -> str | None:
    """Give the only value of a column that begins so, or is so; None if there is none."""
    begins = select(column).where(column.startswith(name, autoescape=True)).distinct().order_by(column)
    values: list[str] = list(connection.execute(begins.limit(MOST_LISTED + 1)).scalars())
    if len(values) < 2 or name in values:
        return name if name in values else next(iter(values), None)
    raise NoSuchRecordError(f"Several {what} begin with {name!r}: {_listed(values)}. Give more of it.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(one_line, names[:MOST_LISTED])) + (", ..." if len(names) > MOST_LISTED else "")


def all_calls(database: Database, which: Filter) -> Iterator[Record]:
    """Yield calls one by one, the oldest first, however many there are, as they stand at one moment."""
    with database.read() as connection:
        query = QUERY.where(*which.conditions()).order_by(calls.c.begun_at, calls.c.id)
        streaming = connection.execution_options(yield_per=ROWS_AT_A_TIME)
        for row in streaming.execute(query).mappings():
            yield dict(row)


def standings(database: Database, limits: Sequence[Limit], now: datetime) -> list[Standing]:
    """Tell where one stands with each limit.

    Returns:
        A line per limit; for one on each flow, or each principal, a line for each that it counts in its window.
    """
    found: list[Standing] = []
    with database.read() as connection:
        for limit in limits:
            end = window_end(limit.window, now)
            for row in connection.execute(_used(limit, window_start(limit.window, now))).mappings():
                flow, principal = row.get("flow", limit.flow), row.get("principal", limit.principal)
                found.append(Standing(limit, flow, principal, Decimal(row["used"] or 0), end))
    return found


def _used(limit: Limit, since: datetime) -> Select[Any]:
    """Sum what a window holds; by flow where the limit is on each flow, by principal where it is on each principal."""
    column, principal = COLUMNS[limit.unit], usage_hours.c.principal
    query = select(func.sum(column, type_=column.type).label("used")).where(usage_hours.c.hour >= since)
    if limit.flow == EVERY:
        query = query.add_columns(FLOW_SHOWN).group_by(usage_hours.c.flow_id).order_by(usage_hours.c.flow_id)
    elif limit.flow is not None:
        query = query.where(named(limit.flow))
    if limit.principal == EVERY:
        query = query.add_columns(principal).group_by(principal).order_by(principal)
    elif limit.principal is not None:
        query = query.where(principal == limit.principal)
    return query
