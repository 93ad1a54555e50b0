"""Calls per second on one Langflow, by the whole call path and by a bare asyncio client, in turns.

The turns are short: a shared machine is as fast in one second as in the next, and not as in the next minute.

Usage: python -m bench.throughput FLOW_ID    Needs LANGFLOW_BASE_URL, LANGFLOW_API_KEY and DAGMA_LEDGER_URL.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.figures import Figure, spread

from dagma.defs.llm.resources import LangflowRestResource
from dagma.langflow.wire import LONGEST_IDLE_SECONDS

CALLS_PER_TURN = {1: 6, 4: 12, 16: 32}
TURNS = {1: 120, 4: 60, 16: 40}
"""Both by number of callers: a turn takes a second or two, and all of them a minute or two."""
TARGET = ">=0.95"
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

    async def turn(self, count: int) -> float:
        """Make `count` calls, all callers at a time; the seconds that they took."""
        left = iter(range(count))

        async def caller() -> None:
            connection = await self._connect()
            for _ in left:
                connection.writer.write(self._request)
                check(await read_body(connection.reader))
                connection.used_at = time.monotonic()
            self._kept.append(connection)

        started = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(self._callers)))
        return time.perf_counter() - started

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


def path_turn(backend: LangflowRestResource, flow_id: str, pool: Executor, count: int) -> float:
    """Make `count` calls by the call path; the seconds that they took."""

    def call(_: int) -> None:
        response = backend.run_flow(INPUT, flow_id=flow_id, mode="direct")
        assert backend.read(response).text == INPUT

    started = time.perf_counter()
    list(pool.map(call, range(count)))
    return time.perf_counter() - started


def measure(target: Target) -> list[Figure]:
    """Measure every number of callers."""
    backend = LangflowRestResource(base_url=target.base_url, api_key=target.api_key)
    return [figure for callers in CALLS_PER_TURN for figure in measure_callers(target, backend, callers)]


def measure_callers(target: Target, backend: LangflowRestResource, callers: int) -> list[Figure]:
    """Measure one number of callers; which of the two begins alternates."""
    count, seconds = CALLS_PER_TURN[callers], dict[str, list[float]](bare=[], path=[])
    client = BareClient(target, callers)
    with asyncio.Runner() as runner, ThreadPoolExecutor(callers) as pool:
        turns = {
            "bare": lambda: runner.run(client.turn(count)),
            "path": lambda: path_turn(backend, target.flow_id, pool, count),
        }
        for index in range(-1, TURNS[callers]):
            for name in ("bare", "path") if index % 2 else ("path", "bare"):
                took = turns[name]()
                if index >= 0:
                    seconds[name].append(took)
        client.close()
    for name in seconds:
        print(f"{callers:>2} callers, {count} calls a turn, {name}: {spread(seconds[name])}", file=sys.stderr)
    ratios = [bare / path for bare, path in zip(seconds["bare"], seconds["path"], strict=True)]
    print(f"{callers:>2} callers, ratios {quartiles(ratios)}", file=sys.stderr)
    return [
        Figure(f"calls_per_second_bare_asyncio_{callers}", count / statistics.median(seconds["bare"]), "1/s"),
        Figure(f"calls_per_second_{callers}", count / statistics.median(seconds["path"]), "1/s"),
        Figure(f"throughput_ratio_{callers}", statistics.median(ratios), "-", TARGET),
    ]


def quartiles(ratios: list[float]) -> str:
    """Three quartiles."""
    return " ".join(f"{ratio:.3f}" for ratio in statistics.quantiles(ratios))


if __name__ == "__main__":
    there = Target(os.environ["LANGFLOW_BASE_URL"], os.environ["LANGFLOW_API_KEY"], sys.argv[1])
    for figure in measure(there):
        print(figure.to_json())
