"""The way out to the hosts of `DAGMA_OUTBOUND`: `python -m dagma.execution.outbound door HOST | way-out`.

A door listens on the control network under the name of one host. It asks the way out to connect, and passes bytes on.
The way out is the one container with a route out, and connects to the hosts and ports of the setting alone. They are
two because on the control network the host's name leads to the door: only from elsewhere can it be looked up.
"""

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine

from dagma.environment import SettingError
from dagma.execution.outbound_routes import HEALTH, OPEN, WAY_OUT, Route, is_refused, routes_from_environment

Address = tuple[str, int]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0

_SERVED: set[asyncio.Task[None]] = set()
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


def _kept(serve: Serve) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
    """Serve connections in tasks that are kept: asyncio keeps none, and would collect one that waits as garbage."""

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        _SERVED.add(task)
        task.add_done_callback(_SERVED.discard)

    return begin


async def serve_door(route: Route, way_out: Address = WAY_OUT, listen: str | None = None) -> asyncio.Server:
    """Pass every connection to the port of a route on to its host; on every address of this machine, or `listen`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            outside = await _ask(route, way_out)
        except OSError as error:
            print(f"{route}: {error}", flush=True)
            break_off(writer)
        else:
            await _join((reader, writer), outside)

    return await asyncio.start_server(_kept(serve), listen, route.port)


async def addresses_outside(route: Route) -> list[Address]:
    """Look up where a host is.

    Raises:
        OSError: Its name is unknown, or leads to nothing but addresses that are refused.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            route.host, route.port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except socket.gaierror as error:
        raise OSError(f"its name can't be resolved: {error.strerror}") from None
    addresses = [str(address[0]) for *_, address in found]
    allowed = [(address, route.port) for address in addresses if not is_refused(address)]
    if not allowed:
        raise OSError(f"its name leads to {', '.join(addresses)}, where no host outside can be")
    return allowed


async def serve_way_out(
    routes: Collection[Route],
    listen: Address = WAY_OUT,
    look_up: Callable[[Route], Awaitable[list[Address]]] = addresses_outside,
) -> asyncio.Server:
    """Connect doors to the hosts that they ask for, if those are among the routes.

    `look_up` gives the addresses of a route, in the order in which to try them.
    """
    known = {str(route): route for route in routes}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = (await reader.readline()).decode(errors="replace").strip()
            outside = None if asked == HEALTH else await _connect(known.get(asked), look_up)
        except (OSError, ValueError) as error:
            writer.write(f"{error}\n".encode())
            writer.close()
            return
        writer.write(f"{OPEN}\n".encode())
        if outside is None:
            writer.close()
        else:
            await _join((reader, writer), outside)

    return await asyncio.start_server(_kept(serve), *listen)


async def _ask(route: Route, way_out: Address) -> Connection:
    reader, writer = await asyncio.open_connection(*way_out)
    writer.write(f"{route}\n".encode())
    answer = (await reader.readline()).decode().strip()
    if answer != OPEN:
        writer.close()
        raise OSError(answer or "the way out has ended")
    return reader, writer


async def _connect(route: Route | None, look_up: Callable[[Route], Awaitable[list[Address]]]) -> Connection:
    if route is None:
        raise OSError("DAGMA_OUTBOUND does not list it")
    failures = []
    for address in await look_up(route):
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(*address)
        except OSError as error:
            cause = os.strerror(error.errno) if error.errno else f"no answer within {CONNECT_SECONDS:g} s"
            failures.append(f"{address[0]}: {cause}")
    raise OSError(f"it can't be reached at {'; '.join(failures)}")


async def _join(one: Connection, other: Connection) -> None:
    """Pass bytes on, both ways, until both ends are done. Where one breaks off, so does the other."""
    for _, writer in (one, other):
        # An end that has vanished without a word is found out some day.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    try:
        async with asyncio.TaskGroup() as directions:
            directions.create_task(_copy(one[0], other[1]))
            directions.create_task(_copy(other[0], one[1]))
    except* OSError:
        break_off(one[1])
        break_off(other[1])
    else:
        one[1].close()
        other[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()


def break_off(writer: asyncio.StreamWriter) -> None:
    """Reset the connection: an end in order would say that all has been sent."""
    with contextlib.suppress(OSError):
        linger_no_second = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_no_second)
    writer.transport.abort()


async def _run(*servers: Awaitable[asyncio.Server]) -> None:
    await asyncio.gather(*[(await server).serve_forever() for server in servers])


def main(arguments: list[str]) -> int:
    """Serve a door or the way out until the process is ended; 2 for any other arguments."""
    try:
        routes = routes_from_environment()
    except SettingError as error:
        print(error, file=sys.stderr)
        return 2
    match arguments:
        case ["way-out"]:
            servers = [serve_way_out(routes)]
        case ["door", host] if own := [route for route in routes if route.host == host]:
            servers = [serve_door(route) for route in own]
        case _:
            print("usage: python -m dagma.execution.outbound way-out | door HOST_OF_DAGMA_OUTBOUND", file=sys.stderr)
            return 2
    asyncio.run(_run(*servers))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
