"""Calls per second on one Langflow, by the whole call path and by a bare asyncio client, in turns.

Usage: python -m bench.throughput FLOW_ID    Needs LANGFLOW_BASE_URL, LANGFLOW_API_KEY and DAGMA_LEDGER_URL.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.figures import Figure

from dagma.defs.llm.resources import LangflowRestResource

CONCURRENCY = (1, 4, 16)
ROUNDS = 7
CALLS_PER_BLOCK = 40
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

    def __init__(self, target: Target) -> None:
        address = urlsplit(target.base_url)
        self._host, self._port = address.hostname or "", address.port or 80
        body = json.dumps({"input_value": INPUT, "input_type": "chat", "output_type": "chat"}).encode()
        head = (
            f"POST /api/v1/run/{target.flow_id} HTTP/1.1\r\nHost: {address.netloc}\r\nx-api-key: {target.api_key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body

    async def block(self, callers: int, count: int) -> None:
        """Make `count` calls, `callers` at a time."""
        left = iter(range(count))

        async def caller() -> None:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            for _ in left:
                writer.write(self._request)
                check(await read_body(reader))
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(*(caller() for _ in range(callers)))


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


def bare_rate(client: BareClient, callers: int) -> float:
    """Calls per second of a block."""
    started = time.perf_counter()
    asyncio.run(client.block(callers, CALLS_PER_BLOCK))
    return CALLS_PER_BLOCK / (time.perf_counter() - started)


def path_rate(backend: LangflowRestResource, flow_id: str, callers: int) -> float:
    """Calls per second of a block by the call path."""

    def call(_: int) -> None:
        response = backend.run_flow(INPUT, flow_id=flow_id, mode="direct")
        assert backend.read(response).text == INPUT

    started = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(call, range(CALLS_PER_BLOCK)))
    return CALLS_PER_BLOCK / (time.perf_counter() - started)


def measure(target: Target) -> list[Figure]:
    """Measure every concurrency; which of the two begins alternates."""
    client = BareClient(target)
    backend = LangflowRestResource(base_url=target.base_url, api_key=target.api_key)
    bare_rate(client, 4)
    path_rate(backend, target.flow_id, 4)
    figures = []
    for callers in CONCURRENCY:
        bare: list[float] = []
        path: list[float] = []
        for index in range(ROUNDS):
            for ours in (index % 2 == 0, index % 2 == 1):
                if ours:
                    path.append(path_rate(backend, target.flow_id, callers))
                else:
                    bare.append(bare_rate(client, callers))
        for name, rates in (("bare asyncio", bare), ("call path", path)):
            print(f"{callers:>2} callers, {name:<12} {' '.join(f'{rate:.1f}' for rate in rates)} /s", file=sys.stderr)
        ratio = statistics.median(ours / theirs for ours, theirs in zip(path, bare, strict=True))
        figures += [
            Figure(f"calls_per_second_bare_asyncio_{callers}", statistics.median(bare), "1/s"),
            Figure(f"calls_per_second_{callers}", statistics.median(path), "1/s"),
            Figure(f"throughput_ratio_{callers}", ratio, "-", TARGET),
        ]
    return figures


if __name__ == "__main__":
    there = Target(os.environ["LANGFLOW_BASE_URL"], os.environ["LANGFLOW_API_KEY"], sys.argv[1])
    for figure in measure(there):
        print(figure.to_json())
