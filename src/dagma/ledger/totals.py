"""What was used: sums by flow, day, principal or model, reported figures apart from estimated ones."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Select, func, select

from dagma.ledger.database import Database
from dagma.ledger.quotas import Window, window_start
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


def groups(database: Database, by: By, since: datetime, flow_ids: Collection[str] | None = None) -> list[Group]:
    """Sum what was used since a time, group by group; the whole UTC hour that holds the time counts.

    Sums by flow and day outlive pruned calls; those by principal and model are made of the calls that are kept.

    Returns:
        A line per group; days in their order, others by name.
    """
    since = window_start("hour", since)
    with database.read() as connection:
        if by in ("principal", "model"):
            name: ColumnElement[Any] = calls.c[by]
            query = _calls_of(since, flow_ids).add_columns(name.label("name")).group_by(name)
        elif by == "day":
            day = _day(connection)
            query = _hours_of(since, flow_ids).add_columns(day.label("name")).group_by(day)
        else:
            query = _hours_of(since, flow_ids).add_columns(FLOW_SHOWN.label("name")).group_by(usage_hours.c.flow_id)
        found = [Group(**_sums(row), name=row.name) for row in connection.execute(query)]
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
