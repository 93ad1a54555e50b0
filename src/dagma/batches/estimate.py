"""What rows will take, by what others took."""

from dagma.batches.answer_table import Averages
from dagma.batches.errors import BatchStopped
from dagma.batches.progress import duration


def refuse_if_dearer(averages: Averages, rows: int, most_usd: float | None) -> None:
    """Refuse a batch that will cost too much, going by the rows that the table has already.

    Args:
        averages: What a row of the table cost.
        rows: How many are to be asked.
        most_usd: What they may cost together; None for any sum.

    Raises:
        BatchStopped: They will cost more. Nothing was sent.
    """
    if most_usd is None or averages.cost_usd is None or averages.cost_usd * rows <= most_usd:
        return
    raise BatchStopped(
        f"{rows:,} rows will cost about {averages.cost_usd * rows:.4f} USD, by the {averages.cost_usd:.6f} USD that a "
        f"row of this table cost on average, and max_cost_usd is {most_usd:g}. Nothing was sent. Raise it, or set "
        "sample to ask fewer rows."
    )


def tell_estimate(averages: Averages, rows: int, rows_per_second: float) -> str:
    """Tell what asking all rows would take, by a sample.

    Args:
        averages: What a row of the sample took.
        rows: How many rows there are to ask.
        rows_per_second: How fast the sample was.
    """
    parts = [f"{rows:,} rows"]
    if averages.tokens is not None:
        parts.append(f"{averages.tokens * rows:,.0f} tokens")
    parts.append("cost unknown" if averages.cost_usd is None else f"{averages.cost_usd * rows:.4f} USD")
    if rows_per_second:
        parts.append(duration(rows / rows_per_second))
    return ", ".join(parts)
