"""Ask a million rows, with a kill in the middle, and count the requests that a server gets.

Usage: python -m bench.million_rows [ROWS] [TABLE]
It needs no container. Where DAGMA_LEDGER_URL and DAGMA_TABLES_URL are not set, both are SQLite files in a temporary
folder. The exit code is 1 if a request was one too many or one too few.
"""

import os
import sys
import tempfile
import time
from collections.abc import Mapping

from bench import batch_client
from bench.fake_process import FakeProcess, fake_langflow
from bench.fake_server import REMEMBERED_RUNS

ROWS = 1_000_000
MORE_ROWS = 1_000


def kill_after(rows: int) -> int:
    """Choose the run to kill at: in the middle, and not right before the server forgets what was in flight then."""
    middle = rows // 2
    return middle - middle % REMEMBERED_RUNS + REMEMBERED_RUNS // 2 if rows > 2 * REMEMBERED_RUNS else middle


def kill_in_the_middle(fake: FakeProcess, table: str, rows: int, environment: Mapping[str, str]) -> None:
    """Ask the rows, and kill the process that asks."""
    client = batch_client.start(table, rows, environment)
    while (runs := fake.counts()[0]) < kill_after(rows):
        assert client.poll() is None, f"the batch ended with {client.returncode} before it was killed"
        time.sleep(0.05)
    client.kill()
    client.communicate()
    print(f"killed after {runs:,} requests", flush=True)


def ask(fake: FakeProcess, table: str, rows: int, environment: Mapping[str, str]) -> bool:
    """Ask the rows to their end; tell whether each had one request in all."""
    before = fake.counts()[0]
    took = batch_client.finish(batch_client.start(table, rows, environment))
    runs, inputs = fake.counts()
    print(
        f"{rows:,} rows: {runs - before:,} requests in {took.seconds:,.0f} s, {runs:,} in all of {inputs:,} rows, "
        f"{took.failed:,} failed, {took.peak_mb:.0f} MB",
        flush=True,
    )
    return (took.rows, took.failed, runs, inputs) == (rows, 0, rows, rows)


def main(rows: int = ROWS, table: str = "million_rows") -> int:
    """Ask them, then some more, then all again."""
    with fake_langflow() as fake, tempfile.TemporaryDirectory() as folder:
        databases = {f"DAGMA_{name}_URL": f"sqlite:///{folder}/{name}.db" for name in ("LEDGER", "TABLES")}
        has_databases = any(name.startswith("DAGMA_LEDGER_URL") for name in os.environ)
        environment = fake.environment() | ({} if has_databases else databases)
        kill_in_the_middle(fake, table, rows, environment)
        is_exact = [ask(fake, table, count, environment) for count in (rows, rows + MORE_ROWS, rows + MORE_ROWS)]
    print("exactly one request a row" if all(is_exact) else "NOT one request a row")
    return int(not all(is_exact))


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:2]), *sys.argv[2:3]))
