"""The token by which a program on another machine logs in at the gateway."""

from ipaddress import ip_address
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from typing_extensions import override

from dagma import environment


class BearerToken(AuthBase):
    """Sends a token; unlike a header that is set, nothing in ~/.netrc replaces it."""

    def __init__(self, token: str) -> None:
        """Keep the token."""
        self._token = token

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put it on a request."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def token_for(url: str) -> str | None:
    """Read the token to send to an address: `DAGMA_TOKEN`, or what is in the file that `DAGMA_TOKEN_FILE` names.

    Raises:
        SettingError: It is no token, or would go over the network for everybody to read.
    """
    token = environment.text("DAGMA_TOKEN")
    if token is None:
        return None
    if not token.isascii() or not token.isprintable() or " " in token:
        raise environment.SettingError(
            "DAGMA_TOKEN is no token: it has blanks or other letters. Set it to the JWT alone."
        )
    parts = urlsplit(url)
    if parts.scheme != "https" and not _is_this_machine(parts.hostname or ""):
        raise environment.SettingError(
            f"DAGMA_TOKEN is not sent to {url!r}, since others could read it on the way. Set DAGMA_URL to an address "
            "that begins with https://."
        )
    return token


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
