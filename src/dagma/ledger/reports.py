"""Questions to the ledger: which calls were there, and how much was used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from dagma.ledger.database import Database
from dagma.ledger.meter import used_of
from dagma.ledger.quotas import EVERY_FLOW, Limit, Window, window_end, window_start
from dagma.ledger.tables import calls, rejections, usage_hours

Record = Mapping[str, Any]
ROWS_AT_A_TIME = 500
# The generated columns serve quotas only, and would read like a cost that was known.
SHOWN = [column for column in calls.c if column.computed is None]
QUERY = select(*SHOWN, rejections.c.rejected_at, rejections.c.reason.label("rejected_reason")).outerjoin(rejections)


@dataclass(frozen=True)
class Filter:
    """Which calls to look at; what is None does not matter.

    Attributes:
        flow: The flow's id or endpoint name.
        state: The call's state.
        run_id: The Dagster run.
        since: Calls begun at this time or later.
        until: Calls begun before this time.
    """

    flow: str | None = None
    state: str | None = None
    run_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Give the filter as SQL.

        Returns:
            Conditions that must all hold.
        """
        conditions: list[ColumnElement[bool]] = []
        if self.flow is not None:
            conditions.append(or_(calls.c.flow_id == self.flow, calls.c.flow_name == self.flow))
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
        used: Calls, tokens or USD in the current window.
        frees_at: When the window ends (UTC).
    """

    limit: Limit
    flow: str | None
    used: Decimal
    frees_at: datetime

    @property
    def left(self) -> Decimal:
        """What is left of the limit, at least 0."""
        return max(self.limit.amount - self.used, Decimal(0))


@dataclass(frozen=True)
class Total:
    """What a flow used in a window.

    Attributes:
        window: The kind of window; always the one that holds now.
        flow: The flow's endpoint name, or its id where it has none.
        calls: Calls that began.
        tokens: Tokens of the calls that reported them.
        cost: USD of the calls whose price is known; None if there is no such call.
        unmetered_calls: Calls that did not report their tokens, or are in flight.
        unpriced_calls: Calls without a known cost, or in flight.
    """

    window: Window
    flow: str
    calls: int
    tokens: int
    cost: Decimal | None
    unmetered_calls: int
    unpriced_calls: int


def last_calls(database: Database, count: int, which: Filter) -> list[Record]:
    """Give the newest calls.

    Args:
        database: The ledger's database.
        count: How many at most.
        which: Which calls.

    Returns:
        The calls, the oldest of them first.
    """
    query = QUERY.where(*which.conditions()).order_by(calls.c.begun_at.desc(), calls.c.id.desc()).limit(count)
    with database.read() as connection:
        return [dict(row) for row in reversed(connection.execute(query).mappings().all())]


def find_calls(database: Database, name: str) -> list[Record]:
    """Find calls by the beginning of their id or key, by their run or their job.

    Args:
        database: The ledger's database.
        name: The id, key, run or job.

    Returns:
        The calls, the oldest first.
    """
    matches = or_(
        calls.c.id.startswith(name, autoescape=True),
        calls.c.key.startswith(name, autoescape=True),
        calls.c.run_id == name,
        calls.c.job_id == name,
    )
    with database.read() as connection:
        query = QUERY.where(matches).order_by(calls.c.begun_at, calls.c.id)
        return [dict(row) for row in connection.execute(query).mappings()]


def all_calls(database: Database, which: Filter) -> Iterator[Record]:
    """Give calls one by one, however many there are, as they stand at one moment.

    Args:
        database: The ledger's database.
        which: Which calls.

    Yields:
        The calls, the oldest first.
    """
    with database.read() as connection:
        query = QUERY.where(*which.conditions()).order_by(calls.c.begun_at, calls.c.id)
        streaming = connection.execution_options(yield_per=ROWS_AT_A_TIME)
        for row in streaming.execute(query).mappings():
            yield dict(row)


def standings(database: Database, limits: Sequence[Limit], now: datetime) -> list[Standing]:
    """Tell where one stands with each limit.

    Args:
        database: The ledger's database.
        limits: The limits; one on each flow gives a line for each flow that was active in its window.
        now: The time.

    Returns:
        A line per limit and flow.
    """
    found: list[Standing] = []
    with database.read() as connection:
        for limit in limits:
            end = window_end(limit.window, now)
            if limit.flow == EVERY_FLOW:
                for flow_id, flow in _active_flows(connection, window_start(limit.window, now)):
                    (used,) = used_of(connection, [limit], now, flow_id)
                    found.append(Standing(limit, flow, used, end))
            else:
                (used,) = used_of(connection, [limit], now)
                found.append(Standing(limit, limit.flow, used, end))
    return found


def totals(database: Database, now: datetime) -> list[Total]:
    """Sum what each flow used in the current hour, day and month.

    Args:
        database: The ledger's database.
        now: The time.

    Returns:
        A line per window and flow.
    """
    windows: tuple[Window, ...] = ("hour", "day", "month")
    with database.read() as connection:
        return [total for window in windows for total in _totals_of(connection, window, now)]


def _totals_of(connection: Connection, window: Window, now: datetime) -> list[Total]:
    summed = (
        usage_hours.c.calls,
        usage_hours.c.metered_calls,
        usage_hours.c.metered_tokens,
        usage_hours.c.priced_calls,
        usage_hours.c.priced_cost,
    )
    query = (
        select(
            usage_hours.c.flow_id,
            func.max(usage_hours.c.flow_name).label("flow_name"),
            *(func.sum(column, type_=column.type).label(column.name) for column in summed),
        )
        .where(usage_hours.c.hour >= window_start(window, now))
        .group_by(usage_hours.c.flow_id)
        .order_by(usage_hours.c.flow_id)
    )
    return [
        Total(
            window=window,
            flow=row.flow_name or row.flow_id,
            calls=int(row.calls),
            tokens=int(row.metered_tokens),
            cost=row.priced_cost if row.priced_calls else None,
            unmetered_calls=int(row.calls - row.metered_calls),
            unpriced_calls=int(row.calls - row.priced_calls),
        )
        for row in connection.execute(query)
    ]


def _active_flows(connection: Connection, since: datetime) -> list[tuple[str, str]]:
    query = (
        select(usage_hours.c.flow_id, func.max(usage_hours.c.flow_name))
        .where(usage_hours.c.hour >= since)
        .group_by(usage_hours.c.flow_id)
        .order_by(usage_hours.c.flow_id)
    )
    return [(flow_id, name or flow_id) for flow_id, name in connection.execute(query).all()]
