"""What proves a caller to a server: Langflow's API key, and what a gateway in front of it may want."""

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from requests import PreparedRequest
from requests.auth import AuthBase


class Credential(AuthBase, ABC):
    """Adds the proof of identity to a request. Its `repr` shows no secret."""

    @abstractmethod
    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the proof to the request."""

    @abstractmethod
    def secrets(self) -> Iterable[str]:
        """Return the values that must never be shown."""

    def renew(self, refused: PreparedRequest) -> bool:  # noqa: ARG002 (for those that override it)
        """Forget the proof on a request that was refused with 401, and return whether there is another.

        Override to renew.

        Args:
            refused: The request, with the proof.
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

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the header."""
        request.headers["x-api-key"] = self.key
        return request

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

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request

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

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Basic {self._encoded()}"
        return request

    def secrets(self) -> Iterable[str]:
        """Return the password, alone and as it is sent."""
        return [self.password, self._encoded()]

    def _encoded(self) -> str:
        return b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


class Credentials(Credential):
    """Several proofs on the same request: of a gateway, and of Langflow behind it.

    Args:
        parts: The proofs, applied in this order.
    """

    def __init__(self, parts: Sequence[Credential]) -> None:
        self._parts = tuple(parts)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add every proof."""
        for part in self._parts:
            request = part(request)
        return request

    def __repr__(self) -> str:
        return f"Credentials({', '.join(map(repr, self._parts))})"

    def secrets(self) -> Iterable[str]:
        """Return the secrets of all parts."""
        return [secret for part in self._parts for secret in part.secrets()]

    def renew(self, refused: PreparedRequest) -> bool:
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
