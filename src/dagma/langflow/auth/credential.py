"""What proves a caller to a server: Langflow's API key, and what a gateway in front of it may want."""

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


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
