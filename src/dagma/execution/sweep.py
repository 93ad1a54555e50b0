"""The evaluation of a sensor that settles what runs have left undone since the evaluation before, in bounded time."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import dagster as dg

# How far the first evaluation looks back, and how far each one looks before the last.
FIRST_LOOK = timedelta(hours=24)
OVERLAP = timedelta(minutes=5)
# When an evaluation settles nothing more: Dagster gives it up after 60 seconds, and begins the next beside it.
SETTLING_SECONDS = 20.0


class Leftover(Protocol):
    """Something that a run has left undone."""

    @property
    def run_id(self) -> str:
        """The run that has left it."""

    def settle(self) -> str | None:
        """Do what was left undone.

        Returns:
            What became of it, as a sentence; None where it has to wait for the next evaluation.
        """


def sweep(
    context: dg.SensorEvaluationContext, find: Callable[[datetime], Iterable[Leftover]], *, nothing: str
) -> dg.SkipReason:
    """Settle what is found; an evaluation that fails or leaves something does not move the cursor.

    `find` looks in the runs that have changed since a time, and is asked for one leftover at a time.

    Returns:
        What became of what was found; `nothing` where that is nothing.

    Raises:
        Exception: What settling one of them raised, once the others are settled.
    """
    started, deadline = datetime.now(UTC), time.monotonic() + SETTLING_SECONDS
    since = datetime.fromisoformat(context.cursor) - OVERLAP if context.cursor else started - FIRST_LOOK
    settled: list[str] = []
    left: list[str] = []
    errors: list[Exception] = []
    for leftover in find(since):
        try:
            became = leftover.settle() if time.monotonic() <= deadline else None
        except Exception as error:  # noqa: BLE001 (the others are settled all the same)
            errors.append(error)
            continue
        if became is None:
            left.append(leftover.run_id)
        else:
            settled.append(became)
    if errors:
        raise errors[0]
    if left:
        settled.append(f"Left for the next evaluation: {', '.join(dict.fromkeys(left))}.")
    else:
        context.update_cursor(started.isoformat())
    return dg.SkipReason(" ".join(settled) or nothing)
