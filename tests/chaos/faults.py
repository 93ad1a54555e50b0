"""What goes wrong on purpose on a running stack."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.stack import Stack

SERVICES = ("user-code", "worker", "redis", "dagster-daemon", "langflow", "postgres", "llm")
"""Every service that a durable call may need. (The webserver only shows it.)"""

NETWORKS = ("control", "flows")
"""Those that services reach each other by."""
LOSE_FRAMES = (Path(__file__).parent / "lose_frames.py").read_text()


@contextmanager
def stalled(stack: Stack, service: str) -> Iterator[None]:
    """Freeze a service: it keeps its connections, and says nothing."""
    container = stack.container(service)
    docker("pause", container.id)
    try:
        yield
    finally:
        docker("unpause", container.id)


@contextmanager
def off_the_network(stack: Stack, service: str) -> Iterator[None]:
    """Take a service's networks away; it comes back with other addresses and the same names."""
    container = stack.container(service)
    names = {network: described["Aliases"] for network, described in _networks(stack, service).items()}
    for network in names:
        docker("network", "disconnect", network, container.id)
    try:
        yield
    finally:
        for network, aliases in names.items():
            options = [part for alias in aliases for part in ("--alias", alias)]
            docker("network", "connect", *options, network, container.id)


@contextmanager
def cut_between(stack: Stack, one: str, other: str) -> Iterator[None]:
    """Lose every packet between two services, in both directions, without a word; both still reach all others."""
    between = _networks(stack, one).keys() & _networks(stack, other).keys()
    directions = [
        (service, str(_networks(stack, towards)[network]["IPAddress"]))
        for network in between
        for service, towards in ((one, other), (other, one))
    ]
    try:
        for service, address in directions:
            _in_network_of(stack, service, "cut", address)
        yield
    finally:
        for service, address in directions:
            _in_network_of(stack, service, "fix", address)


def _networks(stack: Stack, service: str) -> dict[str, dict[str, Any]]:
    """What Docker says of the service's networks, by their names, as far as services reach each other by them."""
    networks: dict[str, dict[str, Any]] = stack.inspect(stack.container(service))["NetworkSettings"]["Networks"]
    return {name: described for name, described in networks.items() if name.endswith(tuple(f"_{n}" for n in NETWORKS))}


def _in_network_of(stack: Stack, service: str, action: str, address: str) -> None:
    """Run `lose_frames.py` with the right to do it, on the service's own network interfaces."""
    container = stack.container(service)
    image = stack.inspect(stack.container("worker"))["Config"]["Image"]
    network = ("--network", f"container:{container.id}")
    rights = ("--user", "0", "--cap-drop", "ALL", "--cap-add", "NET_ADMIN")
    docker("run", "--rm", *network, *rights, "--entrypoint", "python", image, "-c", LOSE_FRAMES, action, address)


def docker(*arguments: str) -> str:
    """Run `docker` with these arguments; return what it prints, both streams."""
    done = subprocess.run(
        ["docker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments[:2])} ended with {done.returncode}: {done.stdout}")
    return done.stdout
