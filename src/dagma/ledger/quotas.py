"""Limits on calls, tokens and cost, as they are written in the settings."""

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, cast

from dagma.ledger.call import MOST_TOKENS
from dagma.ledger.columns import MOST_USD
from dagma.ledger.errors import LedgerSettingsError

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
    if unit == "calls" and match["reserve"]:
        raise LedgerSettingsError(f"Quota {clause!r}: a call always counts as one. Leave reserve out.")
    if unit != "cost" and "." in match["amount"]:
        raise LedgerSettingsError(f"Quota {clause!r}: {unit} are whole numbers.")
    if match["principal"] and match["reserve"]:
        raise LedgerSettingsError(
            f"Quota {clause!r}: what a call uses depends on its flow. Give reserve to a limit without a principal."
        )
    amount, reserve = Decimal(match["amount"]), Decimal(match["reserve"]) if match["reserve"] else None
    if reserve is not None and reserve > amount:
        raise LedgerSettingsError(
            f"Quota {clause!r} would never let a call in: its reserve is more than the whole limit. Lower the reserve, "
            "or raise the limit."
        )
    if reserve is not None and reserve >= (MOST_TOKENS if unit == "tokens" else MOST_USD):
        raise LedgerSettingsError(f"Quota {clause!r}: no call uses as much as its reserve. Lower the reserve.")
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
