"""Limits on calls, tokens and cost: how settings write them, and whether they leave room for a call.

That is decided inside the transaction that begins the call.
"""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, cast

from sqlalchemy import Connection, Select, bindparam, func, or_, select, text

from dagma.ledger.call import Call
from dagma.ledger.database import MONEY_PLACES
from dagma.ledger.errors import FlowNotIdentifiedError, LedgerSettingsError, QuotaExceededError
from dagma.ledger.tables import usage_hours

Unit = Literal["calls", "tokens", "cost"]
Window = Literal["hour", "day", "month"]
EVERY = "*"
"""Stands for each flow, or each principal, by itself."""
EXAMPLE = "calls=1000/day; cost=5/month; flow:assistant tokens=200000/hour reserve=2000"
NUMBER = r"\d[\d_]*(?:\.\d+)?"
CLAUSE = re.compile(
    r"(?:flow:(?P<flow>\S+)\s+)?(?:principal:(?P<principal>\S+)\s+)?"
    rf"(?P<unit>calls|tokens|cost)\s*=\s*(?P<amount>{NUMBER})\s*/\s*(?P<window>hour|day|month)"
    rf"(?:\s+reserve\s*=\s*(?P<reserve>{NUMBER}))?"
)
# Mean use is taken over this long, so that an estimate follows what the flow does these days.
ESTIMATE_DAYS = 31
LOCK = text("SELECT pg_advisory_xact_lock(hashtext('dagma quota'), 0)")
COLUMNS = {"calls": usage_hours.c.calls, "tokens": usage_hours.c.tokens, "cost": usage_hours.c.cost}
RECENT_MEANS = select(
    func.sum(usage_hours.c.metered_tokens + usage_hours.c.estimated_tokens).label("tokens"),
    func.sum(usage_hours.c.metered_calls + usage_hours.c.estimated_calls).label("metered"),
    func.sum(usage_hours.c.priced_cost + usage_hours.c.estimated_cost, type_=usage_hours.c.cost.type).label("cost"),
    func.sum(usage_hours.c.priced_calls + usage_hours.c.estimated_costs).label("priced"),
).where(usage_hours.c.flow_id == bindparam("of_flow"), usage_hours.c.hour >= bindparam("since"))


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        unit: What is counted: calls, tokens, or cost in USD.
        amount: How many of them a window may hold.
        window: The hour, day or month of the calendar in UTC.
        flow: The flow's id or endpoint name; `*` for each flow by itself; None for all flows together.
        reserve: What one call is taken to use while it is in flight; None takes the mean of the flow's calls.
        principal: Who asks; `*` for each principal by itself; None for all together.
    """

    unit: Unit
    amount: Decimal
    window: Window
    flow: str | None = None
    reserve: Decimal | None = None
    principal: str | None = None

    def __str__(self) -> str:
        """Write the limit as the settings do."""
        flow = f"flow:{self.flow} " if self.flow else ""
        principal = f"principal:{self.principal} " if self.principal else ""
        reserve = f" reserve={self.reserve:f}" if self.reserve is not None else ""
        return f"{flow}{principal}{self.unit}={self.amount:f}/{self.window}{reserve}"

    def applies_to(self, flow_id: str, flow_name: str | None) -> bool:
        """Tell whether calls of a flow count for this limit."""
        return self.flow in (None, EVERY, flow_id) or (flow_name is not None and self.flow == flow_name)

    def concerns(self, principal: str) -> bool:
        """Tell whether calls that a principal asks for count for this limit; empty where nobody is named."""
        return self.principal in (None, EVERY, principal)

    def may_apply_to(self, address: str) -> bool:
        """Tell whether a flow of which only its id or its name is known may be this limit's, by the other."""
        return self.flow not in (None, EVERY) and _is_id(str(self.flow)) != _is_id(address)


def parse_quotas(text: str) -> tuple[Limit, ...]:
    """Read limits from a setting.

    Args:
        text: Clauses separated by semicolons:
            `[flow:NAME] [principal:NAME] calls|tokens|cost=AMOUNT/hour|day|month [reserve=AMOUNT]`.

    Raises:
        LedgerSettingsError: A clause can't be read.
    """
    return tuple(_parse(clause) for clause in filter(None, map(str.strip, text.split(";"))))


def canonical_flow(flow: str) -> str:
    """Write a flow's id as Langflow does, in lower case and with dashes; an endpoint name stays as it is."""
    return str(uuid.UUID(flow)) if _is_id(flow) else flow


def _is_id(flow: str) -> bool:
    try:
        uuid.UUID(flow)
    except ValueError:
        return False
    return True


def _parse(clause: str) -> Limit:
    match = CLAUSE.fullmatch(clause)
    if not match:
        raise LedgerSettingsError(
            f"Quota {clause!r} can't be read. Write [flow:NAME] [principal:NAME] "
            "calls|tokens|cost=AMOUNT/hour|day|month [reserve=AMOUNT], separated by semicolons, such as: "
            f"{EXAMPLE}"
        )
    unit = cast("Unit", match["unit"])
    if match["reserve"] and (unit == "calls" or match["principal"]):
        raise LedgerSettingsError(
            f"Quota {clause!r}: only limits on tokens or cost without a principal take a reserve. Leave it out."
        )
    amount, reserve = Decimal(match["amount"]), Decimal(match["reserve"]) if match["reserve"] else None
    if reserve is not None and reserve > amount:
        raise LedgerSettingsError(
            f"Quota {clause!r} would never let a call in: its reserve is more than the whole limit. Lower the reserve, "
            "or raise the limit."
        )
    return Limit(
        unit=unit,
        amount=amount,
        window=cast("Window", match["window"]),
        flow=match["flow"] and canonical_flow(match["flow"]),
        reserve=reserve,
        principal=match["principal"],
    )


def window_start(window: Window, at: datetime) -> datetime:
    """Give the first instant (UTC) of the calendar window that holds an aware time."""
    hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if window == "hour":
        return hour
    day = hour.replace(hour=0)
    return day if window == "day" else day.replace(day=1)


def window_end(window: Window, at: datetime) -> datetime:
    """Give the first instant (UTC) after the calendar window that holds an aware time: its limit frees then."""
    start = window_start(window, at)
    if window == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return start + (timedelta(hours=1) if window == "hour" else timedelta(days=1))


class Meter:
    """The limits, applied to calls that are about to be sent."""

    def __init__(self, limits: Sequence[Limit]):
        self.limits = tuple(limits)

    def reserve(self, connection: Connection, call: Call, now: datetime) -> dict[Unit, Decimal]:
        """Estimate what a call will use while it is in flight.

        Returns:
            One call, and where a limit on tokens or cost applies, what the limits declare as `reserve`, else the mean
            of the flow's calls of the last 31 days, else 0.
        """
        limits = [limit for limit in self._limits_of(call) if limit.unit != "calls"]
        amounts = _declared(limits)
        if missing := {limit.unit for limit in limits} - amounts.keys():
            recent = {"of_flow": call.flow_id, "since": now - timedelta(days=ESTIMATE_DAYS)}
            means = connection.execute(RECENT_MEANS, recent).one()
            if "tokens" in missing and means.metered:
                amounts["tokens"] = Decimal(means.tokens) / Decimal(means.metered)
            if "cost" in missing and means.priced:
                amounts["cost"] = Decimal(means.cost) / Decimal(means.priced)
        # As exact as the tables are, so that what is used and what is needed add up.
        tokens, cost = amounts.get("tokens", Decimal(0)), amounts.get("cost", Decimal(0))
        return {"calls": Decimal(1), "tokens": round(tokens, 0), "cost": round(cost, MONEY_PLACES)}

    def declared(self, flow_id: str, flow_name: str | None) -> dict[Unit, Decimal]:
        """Give the greatest `reserve` of each unit that the limits on a flow declare."""
        # None of one principal has a reserve.
        return _declared([limit for limit in self.limits if limit.applies_to(flow_id, flow_name)])

    def limits_cost(self, flow_id: str, flow_name: str | None) -> bool:
        """Tell whether a limit on cost applies to a flow."""
        return any(limit.unit == "cost" and limit.applies_to(flow_id, flow_name) for limit in self.limits)

    def check(self, connection: Connection, call: Call, reserved: dict[Unit, Decimal], now: datetime) -> None:
        """Refuse a call that was just inserted, if a limit leaves no room for it.

        Callers pass here one after the other: each holds a lock until its transaction ends, and sees what those before
        it took. (SQLite's writers come one at a time anyway.)

        Args:
            connection: In the transaction that inserted the call; the hourly totals count it already.
            call: The call.
            reserved: What `reserve` gave.
            now: The time.

        Raises:
            QuotaExceededError: Roll the transaction back: the call may not be sent.
            FlowNotIdentifiedError: The same, because nobody knows whether a limit applies.
        """
        self._refuse_unidentified(call)
        limits = self._limits_of(call)
        if not limits:
            return
        if connection.dialect.name == "postgresql":
            # The sum must be a statement of its own after the lock: a statement sees what was committed when it began.
            connection.execute(LOCK)
        # The one that frees last comes first: when another frees, the call would still be refused.
        for limit in sorted(limits, key=lambda each: window_end(each.window, now), reverse=True):
            query = used(limit, now)
            if limit.flow == EVERY:
                # Under its name count calls that were made before its id was known.
                query = query.where(usage_hours.c.flow_id.in_([call.flow_id, call.flow_name or call.flow_id]))
            if limit.principal == EVERY:
                query = query.where(usage_hours.c.principal == call.counted_principal)
            counted, needed = Decimal(connection.scalar(query) or 0), reserved[limit.unit]
            before = counted - needed
            if counted > limit.amount or before >= limit.amount:
                raise QuotaExceededError(str(limit), before, needed, window_end(limit.window, now))

    def _refuse_unidentified(self, call: Call) -> None:
        if call.flow_looked_up:
            return
        for limit in self.limits:
            if limit.concerns(call.counted_principal) and limit.may_apply_to(call.flow_id):
                raise FlowNotIdentifiedError(str(limit), call.flow_id)

    def _limits_of(self, call: Call) -> list[Limit]:
        return [
            limit
            for limit in self.limits
            if limit.applies_to(call.flow_id, call.flow_name) and limit.concerns(call.counted_principal)
        ]


def _declared(limits: Sequence[Limit]) -> dict[Unit, Decimal]:
    declared: dict[Unit, Decimal] = {}
    for limit in limits:
        if limit.reserve is not None:
            declared[limit.unit] = max(limit.reserve, declared.get(limit.unit, limit.reserve))
    return declared


def used(limit: Limit, now: datetime) -> Select[Any]:
    """Sum what a limit's current window holds of the flow and the principal that it names, in USD for cost.

    Calls in flight are included. Where the limit is on each flow or principal by itself, that is left to narrow down.
    """
    column = COLUMNS[limit.unit]
    query = select(func.sum(column, type_=column.type).label("used"))
    query = query.where(usage_hours.c.hour >= window_start(limit.window, now))
    if limit.flow not in (None, EVERY):
        query = query.where(or_(usage_hours.c.flow_id == limit.flow, usage_hours.c.flow_name == limit.flow))
    if limit.principal not in (None, EVERY):
        query = query.where(usage_hours.c.principal == limit.principal)
    return query
