"""OAuth2 client credentials: a bearer token that is fetched, kept, and fetched anew."""

import math
import threading
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable
from ssl import SSLContext
from urllib.parse import quote_plus, urlencode, urlsplit

from dagma.langflow.error_responses import retry_after
from dagma.langflow.errors import (
    CallTimeout,
    MalformedResponse,
    ServerError,
    Unauthorized,
    nothing_runs_yet,
)
from dagma.langflow.http.connection_settings import header_value
from dagma.langflow.http.tls import tls_context
from dagma.langflow.http.transport import Request, Transport
from dagma.langflow.http.watched_http import Deadline
from dagma.langflow.untrusted_json import finite_number, json_or_none, text_or_none, walk

# How long before its expiry a token is fetched anew; half of its life, where that is less.
_EARLY_SECONDS = 30.0


class ClientCredentials:
    """A bearer token fetched by OAuth2 client credentials; fetched anew before it expires and after a 401.

    Safe for threads: one of them fetches, the others wait for it. A fetch takes no longer than the request that needs
    the token may take.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        scope: str | None = None,
        audience: str | None = None,
        tls: Callable[[], SSLContext] = tls_context,
    ) -> None:
        endpoint = urlsplit(token_url)
        # RFC 6749, 2.3.1: the two as a form would hold them, so that an id may have a colon.
        user, password = quote_plus(client_id), quote_plus(client_secret)
        self._secrets = (client_secret, password, f"{user}:{password}")
        form = {"grant_type": "client_credentials", "scope": scope, "audience": audience}
        self._request = Request(
            "POST",
            endpoint.path or "/",
            payload=urlencode({name: value for name, value in form.items() if value}).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        self._url = token_url
        self._transport = Transport(
            f"{endpoint.scheme}://{endpoint.netloc}",
            headers={"Authorization": basic_auth(user, password)},
            secrets=self._secrets,
            tls=tls,
            may_quote=False,
        )
        self._lock = threading.Lock()
        self._header = self._refused = ""
        self._renew_at = -math.inf
        # A response can quote a token that another thread has replaced since.
        self._recent: deque[str] = deque(maxlen=4)

    def header(self, deadline: Deadline) -> str:
        """Return what the header Authorization holds, with a token fetched if there is none that is fresh.

        Raises:
            LangflowError: There is no token to be had; nothing was sent to Langflow.
        """
        if not self._lock.acquire(timeout=deadline.remaining()):
            raise CallTimeout(
                f"The deadline passed while another call fetched a token from {self._url}.",
                fix="Look at the token endpoint, which answers slowly, or raise the time-out.",
                outcome="not_run",
            )
        try:
            if self._header == self._refused or time.monotonic() >= self._renew_at:
                self._fetch(deadline)
            return self._header
        finally:
            self._lock.release()

    def secrets(self) -> Iterable[str]:
        """Return the client's secret and the latest tokens."""
        return [*self._secrets, *self._recent]

    def forget(self, refused: str) -> None:
        """Fetch another token for the next request than the one in this header, unless another thread has."""
        self._refused = refused

    @nothing_runs_yet()
    def _fetch(self, deadline: Deadline) -> None:
        reply = self._transport.exchange(self._request, deadline)
        if not reply.is_ok:
            may_pass = reply.status == 429 or reply.status >= 500
            raise (ServerError if may_pass else Unauthorized)(
                f"The token endpoint {self._url} answered {reply.status}.",
                fix="Check its address, the client id, its secret, the scope and the audience; or wait, if it is busy.",
                status=reply.status,
                excerpt=reply.excerpt,
                retry_after=retry_after(reply.headers),
            )
        body = json_or_none(reply.body)
        try:
            token = header_value("The token", text_or_none(walk(body, "access_token")) or "")
        except ValueError:
            # Without an excerpt: the body may hold a token, which no redactor knows yet.
            raise MalformedResponse(
                f"The token endpoint {self._url} answered {reply.status} without a token in a JSON object.",
                fix="Check that it is the token endpoint of an OAuth2 server, and no login page.",
                status=reply.status,
            ) from None
        # The endpoint may give the token that was refused again.
        self._header, self._refused = f"Bearer {token}", ""
        self._recent.append(token)
        # Without a lifetime a token is good until it is refused.
        lifetime = walk(body, "expires_in")
        # Azure AD's first version writes the number as a text.
        seconds = finite_number(json_or_none(lifetime) if isinstance(lifetime, str) else lifetime)
        lived = math.inf if seconds is None else seconds
        self._renew_at = time.monotonic() + lived - min(_EARLY_SECONDS, lived / 2)


def basic_auth(user: str, password: str) -> str:
    """Return what the header Authorization holds for a user and a password."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")
