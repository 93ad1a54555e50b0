"""Seconds from a launch to user code and to the request that Langflow gets: Dagma and Dagster's defaults in turns."""

import json
import random
import statistics
import sys
import time
import uuid
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.figures import Figure, spread
from harness.stack import Stack, wait_until

from dagma.execution.webserver import Webserver, WebserverError

RUNS = 20
WARM_UP = 4
DEFAULT_RUNS = 6
"""A run takes Dagster's defaults ten seconds, and varies little."""
DEFAULT_URL = "http://127.0.0.1:13001"
JOB, ASSET = "langflow_run_flow_job", "langflow_run_flow"
TARGET = "<1"
RUN_SECONDS = 120.0
QUEUE_SECONDS = 5.0
"""How often Dagster's default queue is looked at; Dagma's every second."""
# The event right before the step's function is called: its resources are there by then.
STEP_START = """
query Events($id: ID!) {
  runOrError(runId: $id) {
    ... on Run { eventConnection { events { __typename ... on ExecutionStepStartEvent { timestamp } } } }
  }
}
"""


@dataclass
class Sample:
    """Launches of one Dagster, in seconds from before the launch's request."""

    webserver: Webserver
    to_user_code: list[float] = field(default_factory=list)
    to_request: list[float] = field(default_factory=list)

    def launch(self, stack: Stack, flow_id: str, *, count: bool) -> None:
        """Launch a run, wait for its end, and keep its times if they count."""
        mark = uuid.uuid4().hex
        # People and schedules come at any moment. Right after a run's end, the queue would always be at the same one.
        time.sleep(random.uniform(0, QUEUE_SECONDS))  # noqa: S311 (no secret)
        config = {"ops": {ASSET: {"config": {"input_value": mark, "flow_id": flow_id}}}}
        launched = time.time()
        run_id = self.webserver.launch(JOB, config, tags={})
        deadline = time.monotonic() + RUN_SECONDS
        for status in self.webserver.follow(run_id):
            if time.monotonic() > deadline:
                raise TimeoutError(f"run {run_id} is {status} after {RUN_SECONDS:g} s")
        outcome = self.webserver.outcome(run_id)
        if outcome.status != "SUCCESS":
            raise AssertionError(f"run {run_id} of {self.webserver.url} is {outcome.status}: {outcome.failure}")
        if count:
            self.to_user_code.append(self._step_start(run_id) - launched)
            self.to_request.append(arrival(stack, mark) - launched)

    def _step_start(self, run_id: str) -> float:
        events = self.webserver.query(STEP_START, id=run_id)["runOrError"]["eventConnection"]["events"]
        (started,) = [event for event in events if event["__typename"] == "ExecutionStepStartEvent"]
        return float(started["timestamp"]) / 1000


def arrival(stack: Stack, mark: str) -> float:
    """When the request with this input reached Langflow, as the relay before it saw."""
    for line in stack.run("logs", "--no-log-prefix", "recorder").splitlines():
        seen = arrival_in(line)
        if seen is not None and seen["input"] == mark:
            return float(seen["at"])
    raise AssertionError(f"no request with input {mark} reached Langflow")


def arrival_in(line: str) -> dict[str, Any] | None:
    """What the relay printed, among the control sequences that Compose adds; None for any other line."""
    start = line.find('{"at"')
    if start < 0:
        return None
    try:
        seen, _ = json.JSONDecoder().raw_decode(line, start)
    except ValueError:
        # A traceback quotes code that looks like it.
        return None
    return dict(seen) if "input" in seen else None


def measure(stack: Stack, flow_id: str) -> list[Figure]:
    """Measure both Dagsters, idle but for this."""
    ours, default = Sample(Webserver(stack.dagster_url)), Sample(Webserver(DEFAULT_URL))
    for webserver in (ours.webserver, default.webserver):
        wait_until(f"{webserver.url} with its code", partial(is_loaded, webserver), seconds=120)
    for _ in range(WARM_UP):
        ours.launch(stack, flow_id, count=False)
    default.launch(stack, flow_id, count=False)
    for index in range(RUNS):
        if index * DEFAULT_RUNS // RUNS != (index - 1) * DEFAULT_RUNS // RUNS:
            default.launch(stack, flow_id, count=True)
        ours.launch(stack, flow_id, count=True)
    for name, sample in (("Dagma", ours), ("defaults", default)):
        print(f"{name:<10} launch to user code {spread(sample.to_user_code)}", file=sys.stderr)
        print(f"{name:<10} launch to request   {spread(sample.to_request)}", file=sys.stderr)
    return [
        Figure("launch_to_user_code", statistics.median(ours.to_user_code), "s", TARGET),
        Figure("launch_to_user_code_of_defaults", statistics.median(default.to_user_code), "s"),
        Figure("launch_to_request", statistics.median(ours.to_request), "s", TARGET),
        Figure("launch_to_request_of_defaults", statistics.median(default.to_request), "s"),
    ]


def is_loaded(webserver: Webserver) -> bool:
    """Whether the webserver has its code location."""
    try:
        webserver.check_location()
    except WebserverError:
        return False
    return True
