"""What the pruning of every store has: how many days are kept, how hard it works, and what it did."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dagma import environment
from dagma.ledger.pruning import keep_days_from_environment
from dagma.wording import counted

DEFAULT_RUNS_DAYS = 30
DEFAULT_LANGFLOW_DAYS = 30
DEFAULT_CHATS_DAYS = 0
# A first prune can have months to delete: it goes on the next night.
MOST_SECONDS = 7200.0


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """What `DAGMA_RETENTION_*` say, in days; 0 keeps everything.

    Attributes:
        runs: `DAGMA_RETENTION_RUNS_DAYS`: Dagster's finished runs, with their events, logs and values.
        langflow: `DAGMA_RETENTION_LANGFLOW_DAYS`: messages and traces of the sessions that Dagma made for its calls,
            and files that it uploaded for them.
            The stack gives the same number to Langflow itself, for its jobs.
        chats: `DAGMA_RETENTION_CHATS_DAYS`: messages and traces of all other sessions.
        ledger: `DAGMA_RETENTION_LEDGER_DAYS`: the ledger's calls.
    """

    runs: int
    langflow: int
    chats: int
    ledger: int

    @classmethod
    def from_environment(cls) -> "RetentionSettings":
        """Read the settings.

        Raises:
            SettingError: A variable is no number of days.
        """
        return cls(
            runs=environment.days("DAGMA_RETENTION_RUNS_DAYS", DEFAULT_RUNS_DAYS),
            langflow=environment.days("DAGMA_RETENTION_LANGFLOW_DAYS", DEFAULT_LANGFLOW_DAYS),
            chats=environment.days("DAGMA_RETENTION_CHATS_DAYS", DEFAULT_CHATS_DAYS),
            ledger=keep_days_from_environment(),
        )


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


@dataclass(frozen=True)
class Pruned:
    """How much was deleted, or would be.

    Attributes:
        deleted: How many records of each kind.
        kept: How many are past their days and stay, since something still needs them.
        kept_for_ever: Whether the settings say to delete nothing.
        is_complete: False where the time was over first: the next prune goes on.
    """

    deleted: Mapping[str, int]
    kept: int = 0
    kept_for_ever: bool = False
    is_complete: bool = True

    def __str__(self) -> str:
        if self.kept_for_ever and not any(self.deleted.values()):
            return "nothing: 0 days keep everything"
        counts = ", ".join(counted(count, kind) for kind, count in self.deleted.items())
        counts += f" ({counted(self.kept, 'older ones')} still needed)" if self.kept else ""
        return counts if self.is_complete else f"{counts}; the rest is left for the next prune"
