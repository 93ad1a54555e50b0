"""The way out, from a client through a door to a target, over sockets of this machine."""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, Coroutine

import pytest

from dagma.execution import health
from dagma.execution.outbound import Address, addresses_outside, break_off, serve_door, serve_way_out
from dagma.execution.outbound_routes import Route

HERE = "127.0.0.1"
Target = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return int(probe.getsockname()[1])


def through(
    client: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, bytes]],
    target: Target | None,
    listed: bool = True,
) -> bytes:
    """What a client got from a target through a door and the way out; without a target nothing listens there."""

    async def run() -> bytes:
        route = Route("db.example.com", free_port())
        there: Address = (HERE, free_port())
        way_out: Address = (HERE, free_port())

        async def look_up(_: Route) -> list[Address]:
            return [there]

        servers = [
            await serve_way_out([route] if listed else [], way_out, look_up),
            await serve_door(route, way_out, listen=HERE),
        ]
        if target is not None:
            servers.append(await asyncio.start_server(target, *there))
        reader, writer = await asyncio.open_connection(HERE, route.port)
        try:
            async with asyncio.timeout(120):
                return await client(reader, writer)
        finally:
            writer.close()
            for server in servers:
                server.close()

    return asyncio.run(run())


async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    return await reader.read()


def test_an_end_that_has_said_all_still_gets_its_answer() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"all of it")
        writer.write_eof()
        return await reader.read()

    async def target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = await reader.read()
        writer.write(b"heard " + heard)
        writer.close()

    assert through(client, target) == b"heard all of it"


def test_a_target_that_speaks_first_is_heard() -> None:
    async def target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com\r\n")
        writer.close()

    assert through(read_all, target) == b"220 mail.example.com\r\n"


def test_much_goes_both_ways_at_once_and_arrives_whole() -> None:
    much = bytes(range(256)) * 16 * 1024

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        async def send() -> None:
            writer.write(much)
            await writer.drain()
            writer.write_eof()

        got, _ = await asyncio.gather(reader.read(), send())
        return got

    served = []

    async def target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())  # asyncio itself keeps none of a server
        while chunk := await reader.read(10_000):
            writer.write(chunk)
            await writer.drain()
            gc.collect(0)
        writer.close()

    assert through(client, target) == much


def test_a_target_that_breaks_off_is_no_end_in_order() -> None:
    async def target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half an ans")
        await writer.drain()
        await reader.read(1)
        break_off(writer)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        got = await reader.readexactly(11)
        writer.write(b"?")
        return got + await reader.read()

    with pytest.raises(ConnectionResetError):
        through(client, target)


def test_a_target_that_refuses_is_told_by_its_door(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConnectionResetError):
        through(read_all, target=None)
    assert "db.example.com:" in (said := capsys.readouterr().out)
    assert "it can't be reached at 127.0.0.1: Connection refused" in said


def test_a_door_that_asks_for_what_is_not_listed_stays_closed(capsys: pytest.CaptureFixture[str]) -> None:
    async def target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"never")

    with pytest.raises(ConnectionResetError):
        through(read_all, target, listed=False)
    assert "DAGMA_OUTBOUND does not list it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (socket.gaierror(-2, "Name or service not known"), "can't be resolved: Name or service not known"),
        (["169.254.169.254", "127.0.0.1"], "leads to 169.254.169.254, 127.0.0.1, where no host outside can be"),
    ],
)
def test_a_name_that_leads_nowhere_outside_is_told(
    monkeypatch: pytest.MonkeyPatch, found: list[str] | socket.gaierror, cause: str
) -> None:
    resolve(monkeypatch, found)
    with pytest.raises(OSError, match=cause):
        asyncio.run(addresses_outside(Route("db.example.com", 5432)))


def test_of_several_addresses_those_outside_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ["127.0.0.1", "10.0.0.5", "2001:db8::1"])
    found = asyncio.run(addresses_outside(Route("db.example.com", 5432)))
    assert found == [("10.0.0.5", 5432), ("2001:db8::1", 5432)]


def resolve(monkeypatch: pytest.MonkeyPatch, found: list[str] | socket.gaierror) -> None:
    """Let every name have these addresses."""

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        if isinstance(found, socket.gaierror):
            raise found
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_the_way_out_is_healthy_where_it_answers() -> None:
    async def run() -> None:
        way_out: Address = (HERE, free_port())
        server = await serve_way_out([], way_out)
        assert await asyncio.to_thread(health.check_outbound, way_out) == "the way out answers"
        server.close()
        with pytest.raises(OSError, match="refused"):
            await asyncio.to_thread(health.check_outbound, way_out)

    asyncio.run(run())
