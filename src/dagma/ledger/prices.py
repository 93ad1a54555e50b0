"""What a call costs: own prices first, then the list that comes with genai-prices. Nothing is looked up online."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from dagma.ledger.call import Usage
from dagma.ledger.database import MOST_USD
from dagma.ledger.errors import LedgerSettingsError

MILLION = Decimal(1_000_000)
EXAMPLE = "gpt-4o=2.5/10; smollm2*=0/0"
NUMBER = r"\d+(?:\.\d+)?"
CLAUSE = re.compile(rf"(?P<model>\S+?)\s*=\s*(?P<input>{NUMBER})\s*/\s*(?P<output>{NUMBER})")


class Prices:
    """The price of tokens by model."""

    def __init__(self, own: str = ""):
        """Read own prices from a setting. They win over the bundled list.

        Args:
            own: Like `gpt-4o=2.5/10; smollm2*=0/0`: model, USD per million input tokens / output tokens. `*` stands for
                anything, upper and lower case are the same, and the first that fits counts.

        Raises:
            LedgerSettingsError: A clause can't be read.
        """
        self._own: list[tuple[re.Pattern[str], Decimal, Decimal]] = []
        for clause in filter(None, map(str.strip, own.split(";"))):
            match = CLAUSE.fullmatch(clause)
            if not match:
                raise LedgerSettingsError(
                    f"Price {clause!r} can't be read. Write model=input/output in USD per million tokens, "
                    f"separated by semicolons, such as: {EXAMPLE}"
                )
            pattern = re.compile(re.escape(match["model"]).replace(r"\*", ".*"), re.IGNORECASE)
            self._own.append((pattern, Decimal(match["input"]), Decimal(match["output"])))

    def cost(self, usages: Sequence[Usage], at: datetime) -> Decimal | None:
        """Price a call.

        Args:
            usages: What each model used.
            at: When, since prices change.

        Returns:
            USD, or None if a model, its tokens or its price is unknown, or if it is more than a call can cost. An
            unknown price is never 0.
        """
        costs = [self._cost(usage, at) for usage in usages]
        known = [cost for cost in costs if cost is not None]
        total = sum(known, Decimal(0)) if known and len(known) == len(costs) else None
        return total if total is not None and total < MOST_USD else None

    def warm_up(self) -> None:
        """Load the bundled price list now rather than with the first call that needs it."""
        _bundled_cost("gpt-4o", 0, 0, datetime.now(UTC))

    def _cost(self, usage: Usage, at: datetime) -> Decimal | None:
        if usage.model is None:
            return None
        own = next((prices for pattern, *prices in self._own if pattern.fullmatch(usage.model)), None)
        if own is not None and own[0] == own[1] and usage.total is not None:
            return own[0] * usage.total / MILLION
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        if own is not None:
            return (own[0] * usage.input_tokens + own[1] * usage.output_tokens) / MILLION
        return _bundled_cost(usage.model, usage.input_tokens, usage.output_tokens, at)


def _bundled_cost(model: str, input_tokens: int, output_tokens: int, at: datetime) -> Decimal | None:
    import genai_prices  # half a second to import, and not needed where every model has an own price

    used = genai_prices.Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    try:
        return genai_prices.calc_price(used, model, genai_request_timestamp=at).total_price
    except LookupError:
        return None
