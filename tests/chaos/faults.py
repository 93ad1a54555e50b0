"""What goes wrong on purpose on a running stack."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.stack import Stack

SERVICES = ("user-code", "worker", "redis", "dagster-daemon", "langflow", "postgres", "llm")
"""Every service that a durable call may need. (The webserver only shows it.)"""

NETWORK = "internal"
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
    """Take a service's network away; it comes back with another address and the same name."""
    container = stack.container(service)
    network = f"{stack.settings['COMPOSE_PROJECT_NAME']}_{NETWORK}"
    docker("network", "disconnect", network, container.id)
    try:
        yield
    finally:
        docker("network", "connect", "--alias", service, "--alias", container.name, network, container.id)


@contextmanager
def cut_between(stack: Stack, one: str, other: str) -> Iterator[None]:
    """Lose every packet between two services, in both directions, without a word; both still reach all others."""
    directions = [(one, _address(stack, other)), (other, _address(stack, one))]
    try:
        for service, address in directions:
            _in_network_of(stack, service, "cut", address)
        yield
    finally:
        for service, address in directions:
            _in_network_of(stack, service, "mend", address)


def _address(stack: Stack, service: str) -> str:
    networks = stack.inspect(stack.container(service))["NetworkSettings"]["Networks"]
    (address,) = [network["IPAddress"] for name, network in networks.items() if name.endswith(f"_{NETWORK}")]
    return str(address)


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
