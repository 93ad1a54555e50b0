"""What a call costs: own prices first, then the list that comes with genai-prices. Nothing is looked up online."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from dagma.ledger.call import Usage
from dagma.ledger.database import MOST_USD
from dagma.ledger.errors import LedgerSettingsError

MILLION = Decimal(1_000_000)
EXAMPLE = "gpt-4o=2.5/10; smollm2*=0/0"
NUMBER = r"\d+(?:\.\d+)?"
CLAUSE = re.compile(rf"(?P<model>\S+?)\s*=\s*(?P<input>{NUMBER})\s*/\s*(?P<output>{NUMBER})")


@dataclass(frozen=True)
class ModelPrice:
    """An own price in USD per million tokens. `pattern` is a model's name, where `*` stands for anything."""

    pattern: str
    input: Decimal
    output: Decimal

    def fits(self, model: str) -> bool:
        """Tell whether this is the price of a model, whose name is in lower case."""
        return re.fullmatch(re.escape(self.pattern).replace(r"\*", ".*"), model) is not None


class Prices:
    """The price of tokens by model."""

    def __init__(self, own: Sequence[ModelPrice] = ()):
        """Set own prices, which win over the bundled list.

        Args:
            own: The first whose pattern fits a model's name counts; upper and lower case are the same.
        """
        self.own = tuple(own)

    @classmethod
    def parse(cls, text: str) -> "Prices":
        """Read own prices from a setting.

        Args:
            text: Like `gpt-4o=2.5/10; smollm2*=0/0`: model, USD per million input tokens / output tokens.

        Raises:
            LedgerSettingsError: A clause can't be read.
        """
        own = []
        for clause in filter(None, map(str.strip, text.split(";"))):
            match = CLAUSE.fullmatch(clause)
            if not match:
                raise LedgerSettingsError(
                    f"Price {clause!r} can't be read. Write model=input/output in USD per million tokens, "
                    f"separated by semicolons, such as: {EXAMPLE}"
                )
            own.append(ModelPrice(match["model"].lower(), Decimal(match["input"]), Decimal(match["output"])))
        return cls(own)

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
        name = usage.model.lower()
        own = next((price for price in self.own if price.fits(name)), None)
        if own is not None and own.input == own.output and usage.total is not None:
            return own.input * usage.total / MILLION
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        if own is not None:
            return (own.input * usage.input_tokens + own.output * usage.output_tokens) / MILLION
        return _bundled_cost(usage.model, usage.input_tokens, usage.output_tokens, at)


def _bundled_cost(model: str, input_tokens: int, output_tokens: int, at: datetime) -> Decimal | None:
    import genai_prices  # half a second to import, and not needed where every model has an own price

    used = genai_prices.Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    try:
        return genai_prices.calc_price(used, model, genai_request_timestamp=at).total_price
    except LookupError:
        return None
