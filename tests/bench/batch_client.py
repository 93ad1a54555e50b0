"""Asks the rows of a table in a process of its own, and prints what that took as one line of JSON.

Usage: python -m bench.batch_client TABLE ROWS    Needs LANGFLOW_BASE_URL, LANGFLOW_API_KEY, LANGFLOW_DEFAULT_FLOW_ID,
DAGMA_LEDGER_URL and DAGMA_TABLES_URL.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from dagma import ask_rows


@dataclass(frozen=True)
class Took:
    """What a batch took.

    Args:
        rows: How many rows were answered now or before.
        failed: How many have failed.
        seconds: From the first line of user code to the last answer.
        peak_mb: The most memory that the process has had.
    """

    rows: int
    failed: int
    seconds: float
    peak_mb: float


def start(table: str, rows: int, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    """Start it in a process of its own."""
    command = [sys.executable, "-m", "bench.batch_client", table, str(rows)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> Took:
    """Wait for it, and read what it printed.

    Raises:
        AssertionError: It has failed.
    """
    printed, _ = process.communicate()
    assert process.returncode == 0, f"the batch ended with {process.returncode}"
    return Took(**json.loads(printed.splitlines()[-1]))


def main(table: str, rows: int) -> None:
    """Ask them."""
    started, done, failed = time.monotonic(), 0, 0
    asked = ({"id": number, "text": f"row {number}"} for number in range(1, rows + 1))
    for result in ask_rows(asked, key="id", input="{{ row.text }}", table=table):
        done += 1
        failed += result.error is not None
    took = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": done, "failed": failed, "seconds": took, "peak_mb": peak}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
