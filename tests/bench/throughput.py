"""Calls per second on one Langflow, by the whole call path and by a bare asyncio client, in turns.

A turn starts with as many calls at once as there are callers, and ends with callers running out of calls one by one.
Neither is counted: a rate is that of the answers that come while every caller is busy.

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

from bench.figures import Figure

from dagma.defs.llm.resources import LangflowRestResource
from dagma.langflow.wire import LONGEST_IDLE_SECONDS

COUNTED = {1: 12, 4: 32, 16: 64}
"""Answers that are counted in a turn, by number of callers: a turn takes one second to six.

No more of them, because the machine's own speed drifts in between the two turns that are compared.
"""
TURNS = {1: 240, 4: 90, 16: 45}
"""By number of callers: all turns of one take seven to nine minutes."""
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

    async def turn(self, count: int) -> list[float]:
        """Make `count` calls, all callers at a time; when each was answered."""
        left, answered = iter(range(count)), list[float]()

        async def caller() -> None:
            connection = await self._connect()
            for _ in left:
                connection.writer.write(self._request)
                check(await read_body(connection.reader))
                connection.used_at = time.monotonic()
                answered.append(time.perf_counter())
            self._kept.append(connection)

        await asyncio.gather(*(caller() for _ in range(self._callers)))
        return answered

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


def path_turn(backend: LangflowRestResource, flow_id: str, pool: Executor, count: int) -> list[float]:
    """Make `count` calls by the call path; when each was answered."""

    def call(_: int) -> float:
        response = backend.run_flow(INPUT, flow_id=flow_id, mode="direct")
        assert backend.read(response).text == INPUT
        return time.perf_counter()

    return list(pool.map(call, range(count)))


def calls_per_second(answered: list[float], callers: int) -> float:
    """The rate while all callers were busy: without the first answer of each, and without the last."""
    busy = sorted(answered)[callers - 1 : -callers]
    return (len(busy) - 1) / (busy[-1] - busy[0])


def measure(target: Target) -> list[Figure]:
    """Measure every number of callers."""
    backend = LangflowRestResource(base_url=target.base_url, api_key=target.api_key)
    return [figure for callers in COUNTED for figure in measure_callers(target, backend, callers)]


def measure_callers(target: Target, backend: LangflowRestResource, callers: int) -> list[Figure]:
    """Measure one number of callers; which of the two begins alternates."""
    count, rates = COUNTED[callers] + 2 * callers, dict[str, list[float]](bare=[], path=[])
    client = BareClient(target, callers)
    with asyncio.Runner() as runner, ThreadPoolExecutor(callers) as pool:
        turns = {
            "bare": lambda: runner.run(client.turn(count)),
            "path": lambda: path_turn(backend, target.flow_id, pool, count),
        }
        for index in range(-1, TURNS[callers]):
            for name in ("bare", "path") if index % 2 else ("path", "bare"):
                rate = calls_per_second(turns[name](), callers)
                if index >= 0:
                    rates[name].append(rate)
        client.close()
    ratios = [path / bare for bare, path in zip(rates["bare"], rates["path"], strict=True)]
    for name, values in {**rates, "path / bare": ratios}.items():
        print(f"{callers:>2} callers, calls per second, {name}: {quartiles(values)}")
    return [
        Figure(f"calls_per_second_bare_asyncio_{callers}", statistics.median(rates["bare"]), "1/s"),
        Figure(f"calls_per_second_{callers}", statistics.median(rates["path"]), "1/s"),
        Figure(f"throughput_ratio_{callers}", statistics.median(ratios), "-", TARGET),
    ]


def quartiles(values: list[float]) -> str:
    """Three quartiles, and of how many turns."""
    return f"{' '.join(f'{value:.3f}' for value in statistics.quantiles(values))} ({len(values)} turns)"


if __name__ == "__main__":
    there = Target(os.environ["LANGFLOW_BASE_URL"], os.environ["LANGFLOW_API_KEY"], sys.argv[1])
    for figure in measure(there):
        print(figure.to_json())
