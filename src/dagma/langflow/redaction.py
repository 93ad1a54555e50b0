"""How what is secret is kept out of texts that are shown."""

import json
from base64 import b64encode
from collections.abc import Iterable
from functools import cached_property
from urllib.parse import quote, urlsplit

EXCERPT_CHARACTERS = 500
_SCANNED_BYTES = 65_536
# Shorter values ("1", "yes") are no secrets, and hiding them would garble every text.
_SHORTEST_SECRET = 4


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
    """Return a URL without user, password, query and fragment; nothing of one that can't be read.

    It is part of the keys of calls, so what it returns for a URL must never change.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that can't be read"
    if ":" in host:
        host = f"[{host}]"
    return f"{parts.scheme}://{host}{port}{parts.path}" if parts.scheme else f"{host}{port}{parts.path}"
