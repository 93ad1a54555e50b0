"""What was used: sums by flow, day or principal, reported figures apart from estimated ones; recent means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any, Literal, get_args

from sqlalchemy import BigInteger, ColumnElement, Connection, case, cast, func, select

from dagma.ledger.database import Database
from dagma.ledger.quotas import ESTIMATE_DAYS, window_start
from dagma.ledger.reports import FLOW_SHOWN, is_flow
from dagma.ledger.tables import calls, usage_hours

By = Literal["flow", "day", "principal"]
GROUPS: tuple[By, ...] = get_args(By)
FIGURES = (
    *("calls", "tokens", "cost", "unmetered_calls", "unpriced_calls"),
    *("estimated_calls", "estimated_tokens", "estimated_cost"),
)
LATEST = 100
# A database that restarts is back by then.
PATIENCE_SECONDS = 30.0
# As limits count it; None where nothing is known.
COUNTED_TOKENS = func.coalesce(calls.c.total_tokens, calls.c.estimated_tokens)
COUNTED_COST = func.coalesce(calls.c.cost, calls.c.estimated_cost, type_=calls.c.cost.type)


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


def sums(database: Database, by: By | None, since: datetime, flow: str | None = None) -> list[Mapping[str, Any]]:
    """Sum what was used since a time; the whole UTC hour that holds the time counts. Sums outlive pruned calls.

    Args:
        database: The ledger's.
        by: What each line is of.
        since: The time.
        flow: The endpoint name or name, or the beginning of the id, of the flows to sum; None for all.

    Returns:
        A line per group, in the order of their names; one for all calls without a group. Each has its `name`: the day,
        the principal (None where nobody is named), or the flow's endpoint name, else its name, else its id. And it has

        - `calls`: Calls that began.
        - `tokens`: Tokens of the calls that reported them.
        - `cost`: USD of the calls whose price is known; None if there is no such call.
        - `unmetered_calls`: Calls that did not report their tokens, or are in flight.
        - `unpriced_calls`: Calls without a known cost, or in flight.
        - `estimated_calls`: Answered calls that did not report their tokens, so that limits count an estimate.
        - `estimated_tokens`: That estimate.
        - `estimated_cost`: USD that limits count for answered calls without a known cost; None if there is none.
    """
    hours = usage_hours.c
    begun = _count(hours.calls)
    query = select(
        begun.label("calls"),
        _count(hours.metered_tokens).label("tokens"),
        _usd(hours.priced_cost, hours.priced_calls).label("cost"),
        (begun - _count(hours.metered_calls)).label("unmetered_calls"),
        (begun - _count(hours.priced_calls)).label("unpriced_calls"),
        _count(hours.estimated_calls).label("estimated_calls"),
        _count(hours.estimated_tokens).label("estimated_tokens"),
        _usd(hours.estimated_cost, hours.estimated_costs).label("estimated_cost"),
    ).where(hours.hour >= window_start("hour", since))
    if flow is not None:
        query = query.where(hours.flow_id.in_(select(hours.flow_id).where(is_flow(usage_hours, flow))))
    with database.read() as connection:
        if by is not None:
            name = {"flow": FLOW_SHOWN, "day": _day(connection), "principal": hours.principal}[by]
            query = query.add_columns(name.label("name")).group_by(hours.flow_id if by == "flow" else name)
        lines = [dict(row) for row in connection.execute(query).mappings()]
    return sorted(({**line, "name": line.get("name") or None} for line in lines), key=lambda line: line["name"] or "")


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


def _count(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(cast(func.sum(column), BigInteger), 0)


def _usd(column: ColumnElement[Any], known_calls: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((func.sum(known_calls) > 0, func.sum(column, type_=column.type)))


def _day(connection: Connection) -> ColumnElement[Any]:
    if connection.dialect.name == "sqlite":
        return func.strftime("%Y-%m-%d", usage_hours.c.hour)
    return func.to_char(func.timezone("UTC", usage_hours.c.hour), "YYYY-MM-DD")


def _mean(figures: Sequence[Any]) -> float | None:
    known = [float(figure) for figure in figures if figure is not None]
    return fmean(known) if known else None
