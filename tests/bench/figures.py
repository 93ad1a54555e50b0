"""A figure of the bench, as scripts in containers print it and as people read it."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Args:
        name: What was measured.
        value: The number.
        unit: Its unit.
        target: What it should be, such as `<8`, or be about, such as `~2`; `-` for a number that others are compared
            with.
    """

    name: str
    value: float
    unit: str
    target: str = "-"

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3g} {self.unit} {self.target}"

    def to_json(self) -> str:
        """Write it for `read_figures`."""
        return json.dumps(asdict(self))


def read_figures(printed: str) -> list[Figure]:
    """Read the figures among the lines that a script printed."""
    return [Figure(**json.loads(line)) for line in printed.splitlines() if line.startswith('{"name"')]


def spread(seconds: Sequence[float]) -> str:
    """Describe a sample: median, and the quarter points around it, in milliseconds."""
    low, middle, high = (1000 * point for point in statistics.quantiles(seconds, n=4))
    return f"median {middle:.2f} ms ({low:.2f} to {high:.2f}, n={len(seconds)})"
