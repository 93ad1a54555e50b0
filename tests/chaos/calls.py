"""Durable calls on a running stack: launched, caught in the act, followed to their end, and judged."""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chaos.evidence import Evidence
from chaos.faults import docker
from chaos.llm_log import LlmRequest, read_requests
from chaos.runs import Runs
from harness.stack import Stack, wait_until
from stack.conftest import Dagster

from dagma.execution.webserver import WebserverError

PROMPT = "Tell a long story about the lighthouse keeper number {number}, and all that happened to him."
SETTLE_SECONDS = 2.0
"""What a straggling request to the LLM is given to appear in its log."""


@dataclass(frozen=True)
class DurableCall:
    """A call that was launched."""

    run_id: str
    launched_at: datetime
    launched: float
    """Monotonic seconds."""


class Calls:
    """Makes one durable call at a time, so that every request to the LLM server belongs to it."""

    def __init__(self, stack: Stack, dagster: Dagster) -> None:
        self.stack = stack
        self.dagster = dagster
        self._runs = Runs(dagster)
        self._llm = ""

    def launch(self) -> DurableCall:
        """Launch a call of the flow `assistant`, with a prompt that no other call has, on a stack that is whole."""
        self.stack.wait_ready()
        self._llm = self.stack.container("llm").id
        wait_until("an idle LLM", lambda: not self._running(), seconds=120, every=1.0)
        prompt = PROMPT.format(number=secrets.randbelow(10**9))
        call = wait_until("the launch", lambda: self._try_launch(prompt), seconds=90)
        assert call is not None
        return call

    def wait(self, call: DurableCall, seconds: float) -> None:
        """Wait until so many seconds after the launch."""
        time.sleep(max(call.launched + seconds - time.monotonic(), 0.0))

    def wait_in_flight(self, call: DurableCall) -> None:
        """Wait until the LLM works on the call.

        Raises:
            AssertionError: It does not, within 120 s; with the run's log.
        """

        try:
            wait_until("the LLM at work", lambda: self.in_flight(call), seconds=120, every=0.2)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self._explain(call)}") from error

    def in_flight(self, call: DurableCall) -> bool:
        """Tell whether the LLM works on the call now."""
        return any(request.ended_at is None for request in self.requests_since(call))

    def finish(self, call: DurableCall, seconds: float) -> Evidence:
        """Follow the run and its retries to the last one's end, and collect what is known.

        Args:
            call: The call.
            seconds: How long all of it may take.

        Raises:
            AssertionError: It takes longer; with the run's log and the state of the containers.
        """
        try:
            ends = self._runs.follow(call.run_id, call.launched + seconds)
            took = time.monotonic() - call.launched
            time.sleep(SETTLE_SECONDS)
            # A run that was given up for dead can still live, and report its own end.
            runs = [self._runs.end_of(end.run_id, time.monotonic() + 60) for end in ends]
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self._explain(call)}") from error
        requests = self.requests_since(call)
        self.stack.wait_ready()
        log = [line for run in runs for line in (f"--- run {run.run_id}", *self._runs.log_of(run.run_id))]
        return Evidence(runs, self._rows({run.run_id for run in runs}), requests, took, log)

    def requests_since(self, call: DurableCall) -> list[LlmRequest]:
        """Read the LLM's requests since the call was launched."""
        return [request for request in self._requests() if request.begun_at >= call.launched_at]

    def _requests(self) -> list[LlmRequest]:
        # What was logged before a restart is part of it.
        return read_requests(docker("logs", "--timestamps", self._llm))

    def _running(self) -> list[LlmRequest]:
        return [request for request in self._requests() if request.ended_at is None]

    def _try_launch(self, prompt: str) -> DurableCall | None:
        launched_at, launched = datetime.now(UTC), time.monotonic()
        try:
            return DurableCall(self.dagster.launch(input_value=prompt), launched_at, launched)
        except WebserverError:
            return None  # in the seconds in which the webserver finds a restarted code server again

    def _rows(self, run_ids: set[str]) -> list[dict[str, Any]]:
        printed = self.stack.exec("worker", "dagma", "ledger", "export", "--since", "1h", "--format", "jsonl")
        return [row for row in json_rows(printed) if row["run_id"] in run_ids or row["scope"] in run_ids]

    def _explain(self, call: DurableCall) -> str:
        parts = [f"containers: {self.stack.containers()}"]
        try:
            parts += ["log of the run:", *self.dagster.messages(call.run_id)]
        except (WebserverError, KeyError) as error:
            parts.append(f"no log of the run: {error!r}")
        parts += ["ledger:", self.stack.exec("user-code", "dagma", "ledger", "tail", "-n", "5", check=False)]
        parts += ["LLM requests:", *map(str, self.requests_since(call))]
        parts.append(self.stack.run("--ansi", "never", "logs", "--tail", "20", "worker", "langflow", check=False))
        return "\n".join(parts)


def json_rows(printed: str) -> Iterator[dict[str, Any]]:
    """Read the JSON lines among what a command printed on both streams."""
    for line in printed.splitlines():
        if line.startswith("{"):
            yield json.loads(line)
