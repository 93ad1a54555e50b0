"""What was used: sums by flow, day, principal or model, reported figures apart from estimated ones; recent means."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import fmean
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Select, func, select

from dagma.ledger.database import Database
from dagma.ledger.quotas import ESTIMATE_DAYS, Window, window_start
from dagma.ledger.reports import FLOW_SHOWN
from dagma.ledger.tables import calls, usage_hours

By = Literal["flow", "day", "principal", "model"]
GROUPS: tuple[By, ...] = get_args(By)
FIGURES = {
    "calls": usage_hours.c.calls,
    "tokens": usage_hours.c.metered_tokens,
    "metered_calls": usage_hours.c.metered_calls,
    "estimated_tokens": usage_hours.c.estimated_tokens,
    "estimated_calls": usage_hours.c.estimated_calls,
    "cost": usage_hours.c.priced_cost,
    "priced_calls": usage_hours.c.priced_calls,
    "estimated_cost": usage_hours.c.estimated_cost,
    "estimated_costs": usage_hours.c.estimated_costs,
}
LATEST = 100
# A database that restarts is back by then.
PATIENCE_SECONDS = 30.0
# As limits count it; None where nothing is known.
COUNTED_TOKENS = func.coalesce(calls.c.total_tokens, calls.c.estimated_tokens)
COUNTED_COST = func.coalesce(calls.c.cost, calls.c.estimated_cost, type_=calls.c.cost.type)


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What calls used.

    Attributes:
        calls: Calls that began.
        tokens: Tokens of the calls that reported them.
        cost: USD of the calls whose price is known; None if there is no such call.
        unmetered_calls: Calls that did not report their tokens, or are in flight.
        unpriced_calls: Calls without a known cost, or in flight.
        estimated_calls: Answered calls that did not report their tokens, so that limits count an estimate.
        estimated_tokens: That estimate.
        estimated_cost: USD that limits count for answered calls without a known cost; None if there is no such call.
    """

    calls: int
    tokens: int
    cost: Decimal | None
    unmetered_calls: int
    unpriced_calls: int
    estimated_calls: int
    estimated_tokens: int
    estimated_cost: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Group(Sums):
    """What the calls of a group used.

    Attributes:
        name: The day, principal or model, None where a call has none; of a flow its endpoint name, else its name, else
            its id.
    """

    name: str | None


@dataclass(frozen=True, kw_only=True)
class Total(Group):
    """What a flow used in the current window of a kind; all flows together have no name."""

    window: Window


@dataclass(frozen=True)
class Means:
    """What an answered call of a flow took on average; None where that is not known.

    Attributes:
        calls: How many calls that is of.
        tokens: Tokens, as far as they were reported, and else estimated.
        cost_usd: USD, likewise.
        seconds: How long it took.
    """

    calls: int
    tokens: float | None
    cost_usd: float | None
    seconds: float | None


def groups(database: Database, by: By, since: datetime, flow_ids: Collection[str] | None = None) -> list[Group]:
    """Sum what was used since a time, group by group; the whole UTC hour that holds the time counts.

    Sums outlive pruned calls, save those by model.

    Returns:
        A line per group; days in their order, others by name.
    """
    since = window_start("hour", since)
    with database.read() as connection:
        if by == "model":
            query = _calls_of(since, flow_ids).add_columns(calls.c.model.label("name")).group_by(calls.c.model)
        else:
            name = {"flow": FLOW_SHOWN, "day": _day(connection), "principal": usage_hours.c.principal}[by]
            query = _hours_of(since, flow_ids).add_columns(name.label("name"))
            query = query.group_by(usage_hours.c.flow_id if by == "flow" else name)
        found = [Group(**_sums(row), name=row.name or None) for row in connection.execute(query)]
    return sorted(found, key=lambda group: group.name or "")


def totals(database: Database, now: datetime, flow_ids: Collection[str] | None = None) -> list[Total]:
    """Sum what each flow used in the current hour, day and month, and all flows together.

    Returns:
        A line per window and flow, and one per window for all flows where there are several.
    """
    found: list[Total] = []
    windows: tuple[Window, ...] = get_args(Window)
    for window in windows:
        flows = groups(database, "flow", window_start(window, now), flow_ids)
        found += [Total(**vars(flow), window=window) for flow in flows]
        if len(flows) > 1:
            found.append(Total(**vars(total_of(flows)), name=None, window=window))
    return found


def total_of(lines: Sequence[Sums]) -> Sums:
    """Add lines up; no call may be in two of them."""

    def add(name: str) -> Any:
        known = [value for line in lines if (value := getattr(line, name)) is not None]
        return sum(known) if known else None if name in ("cost", "estimated_cost") else 0

    return Sums(**{name: add(name) for name in Sums.__dataclass_fields__})


def recent_means(database: Database, flow_id: str) -> Means:
    """Give the means of the latest hundred answered calls of a flow, of the last 31 days.

    Raises:
        LedgerUnavailableError: The database stayed away, or took longer than any statement may.
    """
    query = (
        select(COUNTED_TOKENS, COUNTED_COST, calls.c.duration_ms)
        .where(
            calls.c.flow_id == flow_id,
            calls.c.state == "answered",
            calls.c.begun_at >= database.clock() - timedelta(days=ESTIMATE_DAYS),
        )
        .order_by(calls.c.begun_at.desc())
        .limit(LATEST)
    )
    rows = database.transact(lambda connection: connection.execute(query).all(), PATIENCE_SECONDS)
    tokens, costs, milliseconds = ([row[place] for row in rows] for place in range(3))
    took = _mean(milliseconds)
    return Means(len(rows), _mean(tokens), _mean(costs), None if took is None else took / 1000)


def spent_in_run(database: Database, run_id: str, scope: str) -> float:
    """Sum what a run's calls have cost, in USD, as far as it is known.

    Args:
        database: The ledger's.
        run_id: The run.
        scope: How the calls' scope begins.

    Raises:
        LedgerUnavailableError: As in `recent_means`.
    """
    query = select(COUNTED_COST).where(calls.c.run_id == run_id, calls.c.scope.startswith(scope, autoescape=True))
    costs = database.transact(lambda connection: connection.scalars(query).all(), PATIENCE_SECONDS)
    return float(sum(each for each in costs if each is not None))


def _day(connection: Connection) -> ColumnElement[Any]:
    if connection.dialect.name == "sqlite":
        return func.strftime("%Y-%m-%d", usage_hours.c.hour)
    return func.to_char(func.timezone("UTC", usage_hours.c.hour), "YYYY-MM-DD")


def _hours_of(since: datetime, flow_ids: Collection[str] | None) -> Select[Any]:
    query = select(*(func.sum(column, type_=column.type).label(name) for name, column in FIGURES.items()))
    query = query.where(usage_hours.c.hour >= since)
    return query if flow_ids is None else query.where(usage_hours.c.flow_id.in_(flow_ids))


def _calls_of(since: datetime, flow_ids: Collection[str] | None) -> Select[Any]:
    """Sum over calls what the hourly totals sum over hours."""
    sums: dict[str, ColumnElement[Any]] = {"calls": func.count()}
    for name, column, known in (
        ("tokens", calls.c.total_tokens, "metered_calls"),
        ("estimated_tokens", calls.c.estimated_tokens, "estimated_calls"),
        ("cost", calls.c.cost, "priced_calls"),
        ("estimated_cost", calls.c.estimated_cost, "estimated_costs"),
    ):
        sums[name] = func.sum(column, type_=FIGURES[name].type)
        sums[known] = func.count(column)
    query = select(*(column.label(name) for name, column in sums.items()))
    query = query.where(calls.c.begun_at >= since, calls.c.state != "refused")
    return query if flow_ids is None else query.where(calls.c.flow_id.in_(flow_ids))


def _sums(row: Any) -> dict[str, Any]:
    begun = int(row.calls or 0)
    return {
        "calls": begun,
        "tokens": int(row.tokens or 0),
        "cost": row.cost if row.priced_calls else None,
        "unmetered_calls": begun - int(row.metered_calls or 0),
        "unpriced_calls": begun - int(row.priced_calls or 0),
        "estimated_calls": int(row.estimated_calls or 0),
        "estimated_tokens": int(row.estimated_tokens or 0),
        "estimated_cost": row.estimated_cost if row.estimated_costs else None,
    }


def _mean(figures: Sequence[Any]) -> float | None:
    known = [float(figure) for figure in figures if figure is not None]
    return fmean(known) if known else None
