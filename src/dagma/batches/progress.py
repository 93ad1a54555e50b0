"""How far a batch is, what it has taken, and what the rest will take by what other rows took."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from dagma.ledger.totals import Means
from dagma.wording import counted


@dataclass
class Progress:
    """How far a batch is. It is the report of the batch once that has ended."""

    rows: int = 0
    unchanged: int = 0
    """Rows that the table has an answer of, and that are not asked."""
    to_ask: int = 0
    """Rows to ask: new, changed or failed ones, or all; those that ask the same as another one among them."""
    done: int = 0
    """How many of them have an answer or have failed."""
    failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """The failed rows by kind of error."""
    copied: int = 0
    """Rows that got the answer of another one that asked the same."""
    found: int = 0
    """Rows whose answer an earlier batch had paid for already."""
    vanished: int = 0
    """Rows of the table that are not in the input any more."""
    tokens: int = 0
    cost_usd: float = 0.0
    """What this batch and earlier attempts of its step have paid, in USD, as far as prices are known."""
    unpriced: int = 0
    """Rows that were asked and whose cost is not known."""
    seconds: float = 0.0
    level: int = 0
    """How many calls are in flight at most."""
    estimate: str = ""
    """After a sample: what asking all rows would take."""

    @property
    def rows_per_second(self) -> float:
        """How many rows are done a second."""
        return self.done / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        rest, rate = self.to_ask - self.done, self.rows_per_second
        left = f", {_duration(rest / rate)} left" if rest > 0 and rate else ""
        failed = f" ({self.failed:,} failed)" if self.failed else ""
        cost = f", {self.cost_usd:.4f} USD" if self.cost_usd else ""
        return (
            f"{self.done:,} of {counted(self.to_ask, 'rows')}{failed}, {rate:.1f} rows/s, "
            f"{self.level} in flight at most{cost}{left}"
        )


def tell_estimate(means: Means, rows: int, rows_per_second: float) -> str:
    """Tell what asking rows will take, so many a second, or 0 where that is not known."""
    parts = [counted(rows, "rows")]
    if means.tokens is not None:
        parts.append(counted(round(means.tokens * rows), "tokens"))
    parts.append("cost unknown" if means.cost_usd is None else f"{means.cost_usd * rows:.4f} USD")
    if rows_per_second:
        parts.append(str(_duration(rows / rows_per_second)))
    return ", ".join(parts)


def _duration(seconds: float) -> timedelta:
    """Round a duration as people read it: `0:03:00`."""
    return timedelta(seconds=round(seconds))
