"""The settings of the guarded webserver: by which hosts it may be called, and how its gateway proves itself."""

import re
from urllib.parse import urlsplit

from dagma import environment

OWN_HOSTS = ("127.0.0.1", "localhost", "[::1]", "dagster-webserver")
"""Names of this machine, and the webserver's name inside the stack."""

HOST = re.compile(r"(\*\.)?[\w.-]+|\[[0-9A-Fa-f:.]+\]")
LEAST_CHARACTERS = 32
"""Of the gateway's secret."""


def allowed_hosts_from_environment() -> list[str]:
    """List them: `OWN_HOSTS`, `DAGSTER_ALLOWED_HOSTS`, and the host of `DAGSTER_PUBLIC_URL`.

    Raises:
        SettingError: One of the variables can't be used.
    """
    url = environment.text("DAGSTER_PUBLIC_URL")
    try:
        public = urlsplit(url or "").hostname
    except ValueError:  # an address of IPv6 that does not end
        public = None
    if url and (not public or "*" in public):  # `*` alone would stand for any host
        raise environment.SettingError(
            f"DAGSTER_PUBLIC_URL is {url!r}. Set it to what people's browsers open, such as https://dagster.example.com."
        )
    if public and ":" in public:  # an address of IPv6, which the header Host has in brackets
        public = f"[{public}]"
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


def gateway_secret_from_environment() -> str | None:
    """Read `DAGMA_GATEWAY_SECRET`, by which the gateway proves that a request came through it; None without a gateway.

    Raises:
        SettingError: It is too short, or its file is empty: then nobody knows whether a gateway is meant.
    """
    secret = environment.text("DAGMA_GATEWAY_SECRET")
    if secret is None:
        if environment.text("DAGMA_GATEWAY_SECRET_FILE"):
            raise environment.SettingError("DAGMA_GATEWAY_SECRET_FILE names a file that is empty. Write the secret.")
        return None
    if len(secret) < LEAST_CHARACTERS or not secret.isascii():
        raise environment.SettingError(
            f"DAGMA_GATEWAY_SECRET needs at least {LEAST_CHARACTERS} letters and digits, such as what "
            "`openssl rand -hex 32` prints."
        )
    return secret
