"""What rows will take, by what others took: told before the first call, and refused where it costs too much."""

from collections.abc import Callable

from dagma.batches.answer_table import Averages
from dagma.batches.errors import BatchStopped
from dagma.batches.progress import duration
from dagma.ledger.recent_calls import Means
from dagma.wording import counted


def averages_by(table: Averages | None, means: Callable[[], Means]) -> tuple[Averages, str]:
    """Choose whose averages to go by: those of the table's rows, or those of the flow's calls where it has none.

    Args:
        table: What a row of the table took; None where no table keeps the answers.
        means: Asks the ledger what a call of the flow took.

    Returns:
        The averages, and a word on whose they are.
    """
    if table is not None and (table.cost_usd is not None or table.tokens is not None):
        return table, "a row of this table"
    flow = means()
    return Averages(flow.cost_usd, flow.tokens, flow.seconds), f"the latest {counted(flow.calls, 'calls')} of the flow"


def refuse_if_dearer(averages: Averages, whose: str, rows: int, most_usd: float | None) -> None:
    """Refuse a batch that will cost too much.

    Args:
        averages: What a row will take.
        whose: Where that comes from.
        rows: How many are to be asked.
        most_usd: What they may cost together; None for any sum.

    Raises:
        BatchStopped: They will cost more. Nothing was sent.
    """
    if most_usd is None or averages.cost_usd is None or averages.cost_usd * rows <= most_usd:
        return
    raise BatchStopped(
        f"{counted(rows, 'rows')} will cost about {averages.cost_usd * rows:.4f} USD, by the "
        f"{averages.cost_usd:.6f} USD that {whose} cost on average, and max_cost_usd is {most_usd:g}. Nothing "
        "was sent. Raise it, or set sample to ask fewer rows."
    )


def tell_estimate(averages: Averages, rows: int, rows_per_second: float) -> str:
    """Tell what asking rows will take.

    Args:
        averages: What a row takes.
        rows: How many rows there are to ask.
        rows_per_second: How fast they are asked; 0 where that is not known.
    """
    parts = [counted(rows, "rows")]
    if averages.tokens is not None:
        parts.append(counted(round(averages.tokens * rows), "tokens"))
    parts.append("cost unknown" if averages.cost_usd is None else f"{averages.cost_usd * rows:.4f} USD")
    if rows_per_second:
        parts.append(duration(rows / rows_per_second))
    return ", ".join(parts)
