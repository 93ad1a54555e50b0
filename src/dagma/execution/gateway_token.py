"""The token by which a program on another machine logs in at the gateway."""

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from requests import PreparedRequest

from dagma import environment
from dagma.langflow.redaction import bare_url


def bearer(token: str) -> Callable[[PreparedRequest], PreparedRequest]:
    """Give what sends a token, as the `auth` of a session; unlike a header, nothing in ~/.netrc replaces it."""

    def send(request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return send


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
            "DAGMA_TOKEN is not a token: it has blanks or characters that no token has. Set it to the JWT alone."
        )
    if not _is_private(url):
        raise environment.SettingError(
            f"DAGMA_TOKEN is not sent to {bare_url(url)!r}, since others could read it on the way. Set DAGMA_URL to an "
            "address that begins with https://."
        )
    return token


def _is_private(url: str) -> bool:
    """Tell whether nobody can read what is sent to an address: by TLS, or to this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" or parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:  # another name, or no address
        return False
