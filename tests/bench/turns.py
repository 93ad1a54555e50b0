"""Several ways of doing the same, measured in turns: what else the machine does meets all of them alike."""

import time
from collections.abc import Callable, Mapping

WARM_UP = 30
Call = Callable[[], object]


def take_turns(calls: Mapping[str, Call], count: int) -> dict[str, list[float]]:
    """Make all calls in turns, each round in another order; return the seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for index in range(WARM_UP + count):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            calls[name]()
            if index >= WARM_UP:
                seconds[name].append(time.perf_counter() - started)
    return seconds
