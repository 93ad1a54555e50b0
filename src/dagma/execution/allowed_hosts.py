"""The hosts by which Dagster's webserver may be called."""

import re
from urllib.parse import urlsplit

from dagma import environment

OWN_HOSTS = ("127.0.0.1", "localhost", "[::1]", "dagster-webserver")
"""Names of this machine, and the webserver's name inside the stack."""

HOST = re.compile(r"(\*\.)?[\w.-]+|\[[0-9A-Fa-f:.]+\]")


def allowed_hosts_from_environment() -> list[str]:
    """List them: `OWN_HOSTS`, `DAGSTER_ALLOWED_HOSTS`, and the host of `DAGSTER_PUBLIC_URL`.

    Raises:
        SettingError: One of the variables can't be used.
    """
    url = environment.text("DAGSTER_PUBLIC_URL")
    public = urlsplit(url or "").hostname
    if url and not public:
        raise environment.SettingError(
            f"DAGSTER_PUBLIC_URL is {url!r}. Set it to what people's browsers open, such as https://dagster.example.com."
        )
    return [*OWN_HOSTS, *further_hosts_from_environment(), *([public] if public else [])]


def further_hosts_from_environment() -> list[str]:
    """List those of `DAGSTER_ALLOWED_HOSTS`.

    Raises:
        SettingError: One of them is no host.
    """
    hosts = [host.strip() for host in environment.text("DAGSTER_ALLOWED_HOSTS", "").split(",") if host.strip()]
    for host in hosts:
        if not HOST.fullmatch(host):
            raise environment.SettingError(
                f"DAGSTER_ALLOWED_HOSTS has {host!r}. Give hosts without scheme and port, separated by commas, such as "
                "dagster.example.com or *.example.com."
            )
    return hosts
