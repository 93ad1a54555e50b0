"""How hard and how long one store is pruned."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

# A first prune can have months to delete: it goes on the next night.
MOST_SECONDS = 7200.0


@dataclass
class Pace:
    """Leaves a store to its users for as long as each batch took, and ends after a while.

    Attributes:
        seconds: When to end, counted from the first batch.
        clock: Gives monotonic seconds.
        sleep: Waits for seconds.
    """

    seconds: float = MOST_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    is_over: bool = field(default=False, init=False)
    _deadline: float | None = field(default=None, init=False)
    _began: float = field(default=0.0, init=False)

    def goes_on(self) -> bool:
        """Wait until the next batch may begin; False where the time is over."""
        if self.is_over:
            return False
        now = self.clock()
        if self._deadline is None:
            self._deadline = now + self.seconds
        else:
            self.sleep(now - self._began)
        self._began = self.clock()
        self.is_over = self._began >= self._deadline
        return not self.is_over
