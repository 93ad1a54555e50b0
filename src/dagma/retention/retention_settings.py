"""For how many days each store keeps its records."""

from dataclasses import dataclass

from dagma import environment
from dagma.ledger.pruning import keep_days_from_environment

DEFAULT_RUNS_DAYS = 30
DEFAULT_LANGFLOW_DAYS = 30
DEFAULT_CHATS_DAYS = 0


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
