"""What the latest calls of a flow took, for estimates of what the next ones will take."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import fmean
from typing import Any

from sqlalchemy import func, select

from dagma.ledger.database import Database
from dagma.ledger.quotas import ESTIMATE_DAYS
from dagma.ledger.tables import calls

LATEST = 100
# A database that restarts is back by then.
PATIENCE_SECONDS = 30.0


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


def recent_means(database: Database, flow_id: str) -> Means:
    """Give the means of the latest hundred answered calls of a flow, of the last 31 days.

    Raises:
        LedgerUnavailableError: The database stayed away, or took longer than any statement may.
    """
    query = (
        select(
            func.coalesce(calls.c.total_tokens, calls.c.estimated_tokens),
            func.coalesce(calls.c.cost, calls.c.estimated_cost, type_=calls.c.cost.type),
            calls.c.duration_ms,
        )
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
    cost = func.coalesce(calls.c.cost, calls.c.estimated_cost, type_=calls.c.cost.type)
    query = select(cost).where(calls.c.run_id == run_id, calls.c.scope.startswith(scope, autoescape=True))
    costs = database.transact(lambda connection: connection.scalars(query).all(), PATIENCE_SECONDS)
    return float(sum(each for each in costs if each is not None))


def _mean(figures: Sequence[Any]) -> float | None:
    known = [float(figure) for figure in figures if figure is not None]
    return fmean(known) if known else None
