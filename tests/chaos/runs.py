"""Runs of a Dagster that is broken meanwhile: launched, and followed with their retries to the last one's end."""

import time
from typing import Any

from chaos.evidence import RunEnd
from harness.stack import wait_until
from stack.conftest import Dagster

from dagma.execution.webserver import END_STATUSES, WebserverError

RETRY_SECONDS = 120.0
"""From the end of a run that died to its retry."""


class Runs:
    """Follows runs through what their webserver can't answer: it, or its database, is away for seconds."""

    def __init__(self, dagster: Dagster) -> None:
        self._dagster = dagster

    def follow(self, run_id: str, deadline: float) -> list[RunEnd]:
        """Follow a run and its retries.

        Args:
            run_id: The run that was launched.
            deadline: Until when all of it may take, in monotonic seconds.

        Raises:
            TimeoutError: It takes longer.
        """
        ends: list[RunEnd] = []
        following: str | None = run_id
        while following:
            end = self.end_of(following, deadline)
            ends.append(end)
            following = self._retry_of(following, RETRY_SECONDS if end.status == "FAILURE" else 0.0)
        return ends

    def end_of(self, run_id: str, deadline: float) -> RunEnd:
        """Wait for the end of one run.

        Raises:
            TimeoutError: It has not ended by then.
        """
        last = "unknown"
        while last not in END_STATUSES:
            if time.monotonic() > deadline:
                raise TimeoutError(f"run {run_id} is {last} for too long")
            time.sleep(0.25)
            try:
                last = self._dagster.status(run_id)
            except (WebserverError, KeyError):
                continue  # Dagster's database is away
        outcome = wait_until("the run's outcome", lambda: self._try_outcome(run_id), seconds=60)
        return RunEnd(run_id, outcome.status, outcome.metadata.get("answer"), outcome.metadata)

    def log_of(self, run_id: str) -> list[str]:
        """Every message of a run's log, which has some."""
        return wait_until("the run's log", lambda: self._try_log(run_id), seconds=60)

    def _try_log(self, run_id: str) -> list[str]:
        try:
            return self._dagster.messages(run_id)
        except (WebserverError, KeyError):
            return []

    def _try_outcome(self, run_id: str) -> Any:
        try:
            return self._dagster.webserver.outcome(run_id)
        except (WebserverError, KeyError):
            return None

    def _retry_of(self, run_id: str, seconds: float) -> str | None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                for run in self._dagster.runs(tags=[{"key": "dagster/parent_run_id", "value": run_id}]):
                    return str(run["runId"])
            except (WebserverError, KeyError):
                pass
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.5)
