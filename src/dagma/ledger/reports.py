"""Questions to the ledger: which calls were there, and where limits stand. `totals.py` adds up what was used."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from dagma.ledger.database import Database
from dagma.ledger.errors import NoSuchRecordError
from dagma.ledger.formats import printable
from dagma.ledger.quotas import EVERY, Limit, canonical_flow, used_of, window_end, window_start
from dagma.ledger.tables import calls, rejections, usage_hours

Record = Mapping[str, Any]
ROWS_AT_A_TIME = 500
MOST_LISTED = 20
BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)
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
        known = sorted({flow for _, flow in _active_flows(connection, BEFORE_ALL)})
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
    return ", ".join(map(printable, names[:MOST_LISTED])) + (", ..." if len(names) > MOST_LISTED else "")


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
        A line per limit; for one on each flow, or each principal, a line for each that was active in its window.
    """
    found: list[Standing] = []
    with database.read() as connection:
        for limit in limits:
            since, end = window_start(limit.window, now), window_end(limit.window, now)
            flows = _active_flows(connection, since) if limit.flow == EVERY else [(None, limit.flow)]
            principals = _active_principals(connection, since) if limit.principal == EVERY else [limit.principal]
            for (flow_id, flow), principal in product(flows, principals):
                (used,) = used_of(connection, [limit], now, flow_id, principal=principal)
                found.append(Standing(limit, flow, principal, used, end))
    return found


def _active_principals(connection: Connection, since: datetime) -> Sequence[str]:
    principals = select(usage_hours.c.principal).where(usage_hours.c.hour >= since).distinct()
    return connection.execute(principals.order_by(usage_hours.c.principal)).scalars().all()


def _active_flows(connection: Connection, since: datetime) -> list[tuple[str, str]]:
    query = (
        select(usage_hours.c.flow_id, FLOW_SHOWN)
        .where(usage_hours.c.hour >= since)
        .group_by(usage_hours.c.flow_id)
        .order_by(usage_hours.c.flow_id)
    )
    return [(flow_id, flow) for flow_id, flow in connection.execute(query).all()]
