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
# With a dot, since other names are the stack's own; and no address: its last part begins with a letter.
HOST = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
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
    host, _, port = entry.rpartition(":")
    if not HOST.fullmatch(host) or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise environment.SettingError(
            f"DAGMA_OUTBOUND has {entry!r}. Give the whole name of each host in DNS, not its address, with a port and "
            f"without scheme and path: {EXAMPLE}."
        )
    return Route(host, int(port))
