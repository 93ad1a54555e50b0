"""What a batch takes: its rows a second beside a bare client's and beside Dagster's dynamic mapping, its own share of a
row, and its memory.

Usage: python -m bench.batches FLOW_ID    Needs LANGFLOW_BASE_URL, LANGFLOW_API_KEY, DAGMA_LEDGER_URL and
DAGMA_TABLES_URL. FLOW_ID is a flow that repeats what it is asked.
       python -m bench.batches            Only what needs no Langflow: own share and memory.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
import uuid
from contextlib import closing

from bench import batch_client
from bench.fake_process import FakeProcess, fake_langflow
from bench.figures import Figure
from bench.throughput import BareClient, Target, quartiles

from dagma import ask_rows, environment
from dagma.backends.langflow.langflow_resource import LangflowRestResource

IN_FLIGHT = (4, 16)
ROWS_PER_TURN = 160
TURNS = 6
"""A turn of 160 rows takes about ten seconds, and meets one of Langflow's stops."""
RATIO_TARGET = ">=0.93"
ADDED_ROWS, ADDED_IN_FLIGHT, ADDED_TURNS = 2_000, 8, 3
ADDED_TARGET = "<2"
FEW_ROWS, MANY_ROWS = 1_000, 100_000
MEMORY_TARGET = "<=1.1"
MAPPED_ROWS = 200


class Turns:
    """Takes turns: rows asked by a batch, and as many requests sent by a bare client.

    Args:
        target: Where to.
        in_flight: How many at a time.
        rows: How many rows.
    """

    def __init__(self, target: Target, in_flight: int, rows: int) -> None:
        self._backend = LangflowRestResource(base_url=target.base_url, api_key=target.api_key)
        self._target = target
        self._in_flight = in_flight
        self._rows = rows

    def seconds(self, turns: int) -> tuple[list[float], list[float]]:
        """Take so many turns after one to warm up; which of the two begins alternates.

        Returns:
            The seconds of each turn of the batch, and of the bare client.
        """
        batch, bare = list[float](), list[float]()
        client = BareClient(self._target, self._in_flight)
        with asyncio.Runner() as runner, closing(client):

            def by_client() -> None:
                started = time.perf_counter()
                runner.run(client.turn(self._rows // self._in_flight))
                bare.append(time.perf_counter() - started)

            def by_batch() -> None:
                batch.append(self._batch())

            for index in range(-1, turns):
                for take in (by_client, by_batch) if index % 2 else (by_batch, by_client):
                    take()
        return batch[1:], bare[1:]

    def _batch(self) -> float:
        rows = ({"id": number, "text": f"ping {number}"} for number in range(self._rows))
        started = time.perf_counter()
        results = ask_rows(
            rows,
            key="id",
            input="{{ row.text }}",
            flow=self._target.flow_id,
            table=f"bench_{uuid.uuid4().hex[:12]}",
            backend=self._backend,
            concurrency=self._in_flight,
        )
        assert sum(result.error is None for result in results) == self._rows
        return time.perf_counter() - started


def measure_rates(target: Target) -> list[Figure]:
    """Measure rows a second on a real Langflow."""
    figures = []
    for in_flight in IN_FLIGHT:
        batch, bare = Turns(target, in_flight, ROWS_PER_TURN).seconds(TURNS)
        ratios = [theirs / ours for ours, theirs in zip(batch, bare, strict=True)]
        for name, values in {"batch": batch, "bare": bare}.items():
            print(f"{in_flight:>2} in flight, rows a second, {name}: {quartiles([ROWS_PER_TURN / v for v in values])}")
        print(f"{in_flight:>2} in flight, batch / bare: {quartiles(ratios)}")
        figures += [
            Figure(f"batch_rows_per_second_{in_flight}", ROWS_PER_TURN / statistics.median(batch), "1/s"),
            Figure(f"batch_ratio_{in_flight}", statistics.median(ratios), "-", RATIO_TARGET),
        ]
    return figures


def measure_mapping(target: Target) -> list[Figure]:
    """Measure Dagster's dynamic mapping on the same Langflow."""
    command = [sys.executable, "-m", "bench.dynamic_mapping", str(MAPPED_ROWS), target.flow_id]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5_000:]  # each step logs a dozen lines
    return [Figure("dynamic_mapping_rows_per_second", MAPPED_ROWS / float(done.stdout.splitlines()[-1]), "1/s")]


def measure_added(fake: FakeProcess) -> list[Figure]:
    """Measure what a batch adds to a row, on a server that answers at once."""
    target = Target(fake.base_url, fake.api_key, fake.echo_id)
    batch, bare = Turns(target, ADDED_IN_FLIGHT, ADDED_ROWS).seconds(ADDED_TURNS)
    added = [1000 * (ours - theirs) / ADDED_ROWS for ours, theirs in zip(batch, bare, strict=True)]
    print(f"ms added to a row: {quartiles(added)}")
    print(f"ms of a row, bare client and server: {1000 * statistics.median(bare) / ADDED_ROWS:.3f}")
    return [Figure("added_per_batch_row", statistics.median(added), "ms", ADDED_TARGET)]


def measure_memory(fake: FakeProcess) -> list[Figure]:
    """Measure the most memory that a batch of few and of many rows takes, in a process each."""
    peaks = []
    for rows in (FEW_ROWS, MANY_ROWS):
        table = f"bench_{uuid.uuid4().hex[:12]}"
        took = batch_client.finish(batch_client.start(table, rows, fake.environment()))
        assert (took.rows, took.failed) == (rows, 0), took
        print(f"{rows:,} rows: {took.peak_mb:.0f} MB, {rows / took.seconds:.0f} rows a second")
        peaks.append(took.peak_mb)
    return [
        Figure("batch_memory", peaks[-1], "MB"),
        Figure("batch_memory_ratio", peaks[-1] / peaks[0], "-", MEMORY_TARGET),
    ]


def main(flow_id: str | None = None) -> None:
    """Measure, and print."""
    figures = []
    if flow_id is not None:
        there = Target(os.environ["LANGFLOW_BASE_URL"], environment.text("LANGFLOW_API_KEY", ""), flow_id)
        figures = measure_rates(there) + measure_mapping(there)
    with fake_langflow() as fake:
        figures += measure_added(fake) + measure_memory(fake)
    for figure in figures:
        print(figure.to_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
