"""Who asks Dagster's webserver: somebody who came through the gateway, or the stack itself.

The gateway logs people in. With each request it passes on who asks, in which role, and the secret that proves that the
gateway says so. The stack's own programs (health checks, sensors, `dagma` inside a container) reach the webserver on
the control network, without the gateway: they send none of these headers, and act as the stack.
"""

import hmac
import logging
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dagma.execution.roles import Role

logger = logging.getLogger(__name__)

SECRET_HEADER = "x-dagma-gateway"  # noqa: S105 (the name of a header)
PRINCIPAL_HEADER = "x-dagma-principal"
ROLE_HEADER = "x-dagma-role"
# What no program of the stack sends, and what browsers and proxies send by themselves: behind a gateway that is set up
# wrong, or past it, nobody is taken for the stack.
FROM_OUTSIDE = ("x-dagma-", "x-forwarded-", "forwarded", "origin", "sec-fetch-")
MOST_PRINCIPAL_CHARACTERS = 200
"""As many as the ledger keeps."""
_ASKER = "dagma.asker"


class NotProvenError(Exception):
    """A request does not show that it came through the gateway; the message says what is wrong."""


@dataclass(frozen=True)
class Asker:
    """Somebody who came through the gateway."""

    principal: str
    """Their e-mail address, subject or user name."""
    role: Role

    def refusal(self, what: str, needed: Role | None) -> str | None:
        """Say why something is refused; None where it is allowed.

        Args:
            what: What they want to do, as Dagster calls it.
            needed: The role that it takes; None where it has none yet.
        """
        if needed is None:
            return (
                f"{what} was not given a role yet in this version of Dagma, so nobody may use it through the gateway."
            )
        if self.role >= needed:
            return None
        return f"{what} needs the role {needed}; {self.principal} has the role {self.role}. See docs/roles.md."


def asker_of(scope: Scope) -> Asker | None:
    """Tell who asks, in a request that went through `Askers`; None for the stack itself."""
    asker: Asker | None = scope[_ASKER]
    return asker


class Askers:
    """Finds out who asks, and refuses what says that it came through the gateway and can't prove it by the secret.

    Without a secret there is no gateway: everything asks as the stack, and the headers mean nothing.
    """

    def __init__(self, app: ASGIApp, secret: str | None) -> None:
        self._app = app
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] in ("http", "websocket"):
            try:
                scope[_ASKER] = self._find_asker(Headers(scope=scope))
            except NotProvenError as error:
                logger.warning("A request for %r is refused: %s", scope["path"], error)
                await PlainTextResponse(f"{error}\n", status_code=401)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _find_asker(self, headers: Headers) -> Asker | None:
        if self._secret is None or not any(name.startswith(FROM_OUTSIDE) for name in headers):
            return None
        given = _only(headers, SECRET_HEADER)
        if not hmac.compare_digest(given.encode(), self._secret.encode()):
            raise NotProvenError(
                "This did not come through the gateway: its secret is missing or wrong. Use the gateway's address. If "
                "you do, the gateway and the webserver have two values of DAGMA_GATEWAY_SECRET: `make up`."
            )
        principal, word = _only(headers, PRINCIPAL_HEADER).strip(), _only(headers, ROLE_HEADER)
        role = Role.of(word)
        if not principal.isprintable() or not 0 < len(principal) <= MOST_PRINCIPAL_CHARACTERS:
            raise NotProvenError(
                f"The gateway must say who asks, in {MOST_PRINCIPAL_CHARACTERS} characters at most. It says "
                f"{principal[:MOST_PRINCIPAL_CHARACTERS]!r}."
            )
        if role is None:
            raise NotProvenError(
                f"The gateway gives {principal} the role {word[:50]!r}. It must be one of {', '.join(map(str, Role))}."
            )
        return Asker(principal, role)


def _only(headers: Headers, name: str) -> str:
    """Read a header that may be there once. ASGI gives bytes as Latin-1; the gateway writes UTF-8."""
    values = headers.getlist(name)
    if len(values) > 1:
        raise NotProvenError(f"The header {name} is there more than once.")
    return "".join(values).encode("latin-1").decode(errors="replace")
