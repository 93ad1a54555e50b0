"""What proves a caller to a server, and how it is kept out of texts that are shown."""

import json
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, urlsplit

EXCERPT_CHARACTERS = 500
_SCANNED_BYTES = 65_536
# Shorter values ("1", "yes") are no secrets, and hiding them would garble every text.
_SHORTEST_SECRET = 4


class Credential(ABC):
    """Proves who calls, by headers of each request. Its `repr` shows no secret."""

    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """Return the headers of the next request; they replace others of the same names."""

    @abstractmethod
    def secrets(self) -> Iterable[str]:
        """Return the values that must never be shown."""

    def renew(self, refused: Mapping[str, str]) -> bool:  # noqa: ARG002 (for those that override it)
        """Forget the proof that was refused with 401, and return whether there is another.

        Override to renew.

        Args:
            refused: What `headers` returned for the request.
        """
        return False


@dataclass(frozen=True)
class ApiKey(Credential):
    """Langflow's API key, as the header x-api-key; Langflow takes it in no other way.

    Args:
        key: The key.
    """

    key: str = field(repr=False)

    def __post_init__(self) -> None:
        header_value("The API key", self.key)

    def headers(self) -> Mapping[str, str]:
        """Return the header."""
        return {"x-api-key": self.key}

    def secrets(self) -> Iterable[str]:
        """Return the key."""
        return [self.key]


@dataclass(frozen=True)
class BearerToken(Credential):
    """A token that does not change, such as a JWT for a gateway.

    Args:
        token: The token, without "Bearer".
    """

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        header_value("The bearer token", self.token)

    def headers(self) -> Mapping[str, str]:
        """Return the header."""
        return {"Authorization": f"Bearer {self.token}"}

    def secrets(self) -> Iterable[str]:
        """Return the token."""
        return [self.token]


@dataclass(frozen=True)
class BasicAuth(Credential):
    """User and password of a gateway.

    Args:
        user: The user.
        password: The password.
    """

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.user or ":" in self.user or not self.password:
            raise ValueError("Basic auth needs a user without a colon, and a password.")

    def headers(self) -> Mapping[str, str]:
        """Return the header."""
        return {"Authorization": f"Basic {self._encoded()}"}

    def secrets(self) -> Iterable[str]:
        """Return the password, alone and as it is sent."""
        return [self.password, self._encoded()]

    def _encoded(self) -> str:
        return b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


class Credentials(Credential):
    """Several proofs on the same request: of a gateway, and of Langflow behind it.

    Args:
        parts: The proofs; of two that write the same header, the later counts.
    """

    def __init__(self, parts: Sequence[Credential]) -> None:
        self._parts = tuple(parts)

    def headers(self) -> Mapping[str, str]:
        """Return the headers of all parts."""
        return {name: value for part in self._parts for name, value in part.headers().items()}

    def secrets(self) -> Iterable[str]:
        """Return the secrets of all parts."""
        return [secret for part in self._parts for secret in part.secrets()]

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Renew every part that can be renewed."""
        renewed = [part.renew(refused) for part in self._parts]
        return any(renewed)


def header_value(name: str, value: str) -> str:
    """Return a value that can stand in a header.

    Raises:
        ValueError: It can't. The message does not repeat it, since it may be a secret.
    """
    if not value or value != value.strip() or not value.isprintable() or not value.isascii():
        raise ValueError(
            f"{name} must be printable ASCII without spaces around it, and not empty; "
            "look for a stray newline in the variable that it comes from."
        )
    return value


class Redactor:
    """Replaces secrets in texts.

    Args:
        secrets: The values never to show; their URL-quoted, base64 and JSON-escaped forms are hidden as well.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._plain = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}

    @cached_property
    def _secrets(self) -> list[str]:
        """Every form of the secrets; needed only where something is shown."""
        plain = self._plain
        quoted = {quote(secret, safe="") for secret in plain}
        encoded = {b64encode(secret.encode()).decode() for secret in plain}
        escaped = {json.dumps(secret, ensure_ascii=each)[1:-1] for secret in plain for each in (True, False)}
        # Longest first, so that no secret survives as the rest of a shorter one.
        return sorted(plain | quoted | encoded | escaped, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return `text` with every secret replaced by `***`."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def excerpt(self, body: bytes | str, *, is_cut: bool = False) -> str:
        """Return the start of a body: redacted, on one line, of at most 500 characters.

        Args:
            body: The body, or the start of it.
            is_cut: Whether it may end in the middle of a secret.
        """
        scanned = body[:_SCANNED_BYTES]
        text = scanned.decode("utf-8", errors="replace") if isinstance(scanned, bytes) else scanned
        text = self.text(text)
        if is_cut or len(body) > _SCANNED_BYTES:
            text = self._without_half(text)
        printable = "".join(character if character.isprintable() else " " for character in text)
        return printable[:EXCERPT_CHARACTERS]

    def _without_half(self, text: str) -> str:
        """Return a text without the half of a secret that its cut has left at the end."""
        text = text.rstrip("\N{REPLACEMENT CHARACTER}")
        halves = (n for secret in self._secrets for n in range(1, len(secret)) if text.endswith(secret[:n]))
        return text[: len(text) - max(halves, default=0)]


NOTHING_SECRET = Redactor([])
"""For text that was had without a client."""


def bare_url(url: str) -> str:
    """Return a URL without user, password, query and fragment; nothing of one that can't be read."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that can't be read"
    if ":" in host:
        host = f"[{host}]"
    return f"{parts.scheme}://{host}{port}{parts.path}" if parts.scheme else f"{host}{port}{parts.path}"
