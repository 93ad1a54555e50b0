"""How long to wait before the next attempt."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Waits, in seconds, that double up to a longest one, with jitter that spreads callers which failed together."""

    first: float
    longest: float

    def seconds(self, attempt: int, retry_after: float | None = None) -> float:
        """Return how long to wait after so many attempts, at least 1: from half of the wait to all of it.

        The seconds that the server asked for replace the wait, and at most the first wait is added to them.
        """
        # The exponent is bounded because a float is; jitter is no secret.
        longest = min(self.first * 2.0 ** min(attempt - 1, 60), self.longest)
        if retry_after is not None:
            return retry_after + random.uniform(0.0, self.first)  # noqa: S311
        return random.uniform(longest / 2, longest)  # noqa: S311
