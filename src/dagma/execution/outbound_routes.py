"""The hosts outside that workers may reach, and by which ports: `DAGMA_OUTBOUND`; and how a door asks for one."""

import ipaddress
import re
from typing import NamedTuple

from dagma import environment

WAY_OUT = ("way-out", 1080)
"""Where the way out listens: a name that it has on the network of the doors alone, and a port."""

HEALTH = "health"
"""What a health check asks the way out, in a line; a door asks for a route."""

OPEN = "open"
"""What the way out answers, in a line, where it has connected; else the cause."""

EXAMPLE = "db.example.com:5432,s3.example.com:443"
# With a dot, and no address: its last part begins with a letter.
HOST = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
ADDRESS = re.compile(r"\[[0-9a-f:.%]*\]|[0-9.]+|[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:.]*")
# The services by which clouds hand a machine its credentials, as far as their addresses are not link-local.
CLOUD_METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"))
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Route(NamedTuple):
    """One port of one host."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def routes_from_environment() -> list[Route]:
    """List the routes of `DAGMA_OUTBOUND`.

    Raises:
        SettingError: One can't be used.
    """
    entries = (entry.strip().lower() for entry in environment.text("DAGMA_OUTBOUND", "").split(","))
    return list(dict.fromkeys(_route(entry) for entry in entries if entry))


def is_refused(address: str) -> bool:
    """Tell whether no host outside can have an IP address: it is local, or that of a cloud's metadata service."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        translated = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF) if parsed in NAT64 else None
        parsed = parsed.ipv4_mapped or parsed.sixtofour or translated or parsed
    own = parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast
    return own or parsed in CLOUD_METADATA


def _route(entry: str) -> Route:
    host, colon, port = entry.rpartition(":")
    if not colon or "/" in entry:
        raise _refused(entry, f"Give host:port, without scheme and path, such as {EXAMPLE}.")
    if ADDRESS.fullmatch(host):
        raise _refused(
            entry,
            "Workers find hosts by name. Give the host's name in DNS, such as db.example.com, instead of an address.",
        )
    if "*" in host:
        raise _refused(entry, "Give each host by its whole name, such as shop.s3.eu-central-1.amazonaws.com.")
    if host == "metadata.google.internal":
        raise _refused(entry, "That is a cloud's metadata service, which gives away this machine's rights. Remove it.")
    if re.fullmatch(r"[\w-]+", host) or host.endswith(".localhost"):
        raise _refused(
            entry, "A name without a dot is the stack's own, or this machine's. Give the whole name, as DNS has it."
        )
    if not HOST.fullmatch(host):
        raise _refused(entry, f"That is no name of a host. Give host:port, such as {EXAMPLE}.")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise _refused(entry, "Give a port from 1 to 65535.")
    return Route(host, int(port))


def _refused(entry: str, fix: str) -> environment.SettingError:
    return environment.SettingError(f"DAGMA_OUTBOUND has {entry!r}. {fix}")
