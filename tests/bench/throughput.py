"""Calls per second on one Langflow, by the whole call path and by a bare asyncio client, in turns.

In a turn each caller makes some calls, one after the other. The rate of a turn is that of the median time from one
answer of a caller to its next: Langflow answers many callers in bursts, and stops everything for one to two and a half
seconds to collect its garbage, about every 160 answers, whoever asks. A turn holds too few of either to count answers.

Usage: python -m bench.throughput FLOW_ID    Needs LANGFLOW_BASE_URL, LANGFLOW_API_KEY and DAGMA_LEDGER_URL.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import urlsplit

from bench.figures import Figure

from dagma import environment
from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.langflow.http.watched_http import LONGEST_IDLE_SECONDS

CALLS = {1: 13, 4: 9, 16: 8}
"""How many calls each caller makes in a turn, by number of callers: a turn takes one second to eight.

No more of them, because the machine's own speed drifts in between the two turns that are compared.
"""
TURNS = {1: 240, 4: 90, 16: 45}
"""By number of callers: all turns of one take six to twelve minutes."""
TARGETS = {1: "-", 4: ">=0.93", 16: ">=0.93"}
INPUT = "ping"


@dataclass(frozen=True)
class Target:
    """Where to send calls."""

    base_url: str
    api_key: str
    flow_id: str


class BareClient:
    """HTTP/1.1 over asyncio's own streams: one connection per caller, kept open, and no more than a run needs."""

    def __init__(self, target: Target, callers: int) -> None:
        address = urlsplit(target.base_url)
        self._host, self._port = address.hostname or "", address.port or 80
        body = json.dumps({"input_value": INPUT, "input_type": "chat", "output_type": "chat"}).encode()
        head = (
            f"POST /api/v1/run/{target.flow_id} HTTP/1.1\r\nHost: {address.netloc}\r\nx-api-key: {target.api_key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._callers = callers
        self._kept: list[Connection] = []

    async def turn(self, calls: int) -> list[list[float]]:
        """Make so many calls by each caller, all callers at a time; when each caller was answered."""

        async def caller() -> list[float]:
            connection, answered = await self._connect(), list[float]()
            for _ in range(calls):
                connection.writer.write(self._request)
                check(await read_body(connection.reader))
                connection.used_at = time.monotonic()
                answered.append(time.perf_counter())
            self._kept.append(connection)
            return answered

        return await asyncio.gather(*(caller() for _ in range(self._callers)))

    async def _connect(self) -> "Connection":
        while self._kept:
            connection = self._kept.pop()
            if time.monotonic() - connection.used_at < LONGEST_IDLE_SECONDS:
                return connection
            connection.writer.close()
        return Connection(*await asyncio.open_connection(self._host, self._port))

    def close(self) -> None:
        """Close the connections."""
        for connection in self._kept:
            connection.writer.close()


@dataclass
class Connection:
    """A connection of the bare client, and when it had its last answer, in monotonic seconds."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used_at: float = field(default_factory=time.monotonic)


async def read_body(reader: asyncio.StreamReader) -> bytes:
    """Read one response; its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = head.split(" ", 2)[1]
    assert status == "200", head
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if "content-length" in fields:
        return await reader.readexactly(int(fields["content-length"]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


def check(body: bytes) -> None:
    """Make sure that a response is an answer."""
    results = json.loads(body)["outputs"][0]["outputs"][0]["results"]
    assert results["message"]["text"] == INPUT, results


class PathClient:
    """The whole call path, as many threads of one process call it."""

    def __init__(self, target: Target, callers: int) -> None:
        self._backend = LangflowRestResource(base_url=target.base_url, api_key=target.api_key)
        self._flow_id = target.flow_id
        self._callers = callers
        self._pool = ThreadPoolExecutor(callers)

    def turn(self, calls: int) -> list[list[float]]:
        """Make so many calls by each caller, all callers at a time; when each caller was answered."""

        def caller(_: int) -> list[float]:
            answered = list[float]()
            for _ in range(calls):
                response = self._backend.run_flow(INPUT, flow_id=self._flow_id, mode="direct")
                assert self._backend.read(response).text == INPUT
                answered.append(time.perf_counter())
            return answered

        return list(self._pool.map(caller, range(self._callers)))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def calls_per_second(answered: list[list[float]]) -> float:
    """The rate of callers that are all busy, by the median time from one answer of a caller to its next."""
    return len(answered) / statistics.median(cycles(answered))


def cycles(answered: list[list[float]]) -> list[float]:
    """Seconds from each answer of a caller to its next, until the first caller is done."""
    first_done = min(own[-1] for own in answered)
    return [after - before for own in answered for before, after in pairwise(own) if after <= first_done]


def measure(target: Target) -> list[Figure]:
    """Measure every number of callers."""
    return [figure for callers in CALLS for figure in measure_callers(target, callers)]


def measure_callers(target: Target, callers: int) -> list[Figure]:
    """Measure one number of callers; which of the two begins alternates."""
    rates, took = dict[str, list[float]](bare=[], path=[]), dict[str, list[float]](bare=[], path=[])
    bare, path = BareClient(target, callers), PathClient(target, callers)
    with asyncio.Runner() as runner, closing(bare), closing(path):
        turns = {"bare": lambda: runner.run(bare.turn(CALLS[callers])), "path": lambda: path.turn(CALLS[callers])}
        for index in range(-1, TURNS[callers]):
            for name in ("bare", "path") if index % 2 else ("path", "bare"):
                answered = turns[name]()
                if index >= 0:
                    rates[name].append(calls_per_second(answered))
                    took[name] += cycles(answered)
    ratios = [path / bare for bare, path in zip(rates["bare"], rates["path"], strict=True)]
    for name, values in {**rates, "path / bare": ratios}.items():
        print(f"{callers:>2} callers, calls per second, {name}: {quartiles(values)}")
    for name, values in took.items():
        with_stops = callers / statistics.fmean(values)
        print(f"{callers:>2} callers, calls per second with Langflow's stops, {name}: {with_stops:.3f}")
    return [
        Figure(f"calls_per_second_bare_asyncio_{callers}", statistics.median(rates["bare"]), "1/s"),
        Figure(f"calls_per_second_{callers}", statistics.median(rates["path"]), "1/s"),
        Figure(f"throughput_ratio_{callers}", statistics.median(ratios), "-", TARGETS[callers]),
    ]


def quartiles(values: list[float]) -> str:
    """Three quartiles, and of how many turns."""
    return f"{' '.join(f'{value:.3f}' for value in statistics.quantiles(values))} ({len(values)} turns)"


if __name__ == "__main__":
    there = Target(os.environ["LANGFLOW_BASE_URL"], environment.text("LANGFLOW_API_KEY", ""), sys.argv[1])
    for figure in measure(there):
        print(figure.to_json())
