"""Dagster's webserver behind a guard; it takes the options of `dagster-webserver`.

Dagster's webserver has no login and does what any page in the user's browser asks of it. The guard lets in who names it
by a host of its own (so that no foreign name leads to it), and what its own pages or programs send: JSON, by POST, with
no foreign origin. Behind the gateway of the stack, everybody may do what their role says (`roles.py`).

`DAGSTER_ALLOWED_HOSTS` names more hosts, separated by commas, beside this machine's own names, the stack's, and the
host of `DAGSTER_PUBLIC_URL`.
"""

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import dagster_webserver.app
from dagster._core.workspace.context import WorkspaceRequestContext
from dagster_webserver import cli
from dagster_webserver.webserver import DagsterWebserver
from graphene import Schema
from graphql import (
    ASTValidationRule,
    GraphQLError,
    GraphQLFormattedError,
    OverlappingFieldsCanBeMergedRule,
    specified_rules,
)
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from dagma import environment
from dagma.execution.asked_requests import AskedRequest, guard_mutations
from dagma.execution.askers import Askers, asker_of
from dagma.execution.roles import ROUTES, Role
from dagma.execution.webserver_settings import (
    OWN_HOSTS,
    allowed_hosts_from_environment,
    gateway_secret_from_environment,
)

logger = logging.getLogger(__name__)

JSON = "application/json"
MOST_BODY_BYTES = 20_000_000
"""`dagma ask` sends questions of 5 MB, of which JSON can make 15; Dagster's pages send less."""
MOST_QUERY_CHARACTERS = 100_000
"""Dagster's pages send 8,000. Parsed, a query takes 300 times its size, and memory for one of 5 MB is not there."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}


def allowed_hosts() -> list[str]:
    """List the hosts by which the webserver may be called; this machine's own where a setting can't be used."""
    try:
        return allowed_hosts_from_environment()
    except environment.SettingError as error:
        logger.error("%s Until then Dagster is served under this machine's own names only.", error)
        return list(OWN_HOSTS)


class KnownHosts:
    """Starlette's check of the host, with an answer that says what to do."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        is_known = False

        async def known(scope: Scope, receive: Receive, _send: Send) -> None:
            nonlocal is_known
            is_known = True
            await self._app(scope, receive, send)

        async def unsaid(_message: Message) -> None:
            """Drop Starlette's own answer."""

        await TrustedHostMiddleware(known, self._hosts, www_redirect=False)(scope, receive, unsaid)
        if not is_known:
            host = Headers(scope=scope).get("host", "")[:200]
            text = (
                f"Dagster is not served under the host {host!r}.\n\nIf it should be, add the host to "
                "DAGSTER_ALLOWED_HOSTS (in .env, then `make up`), or set DAGSTER_PUBLIC_URL to the address that people "
                "use.\n"
            )
            await PlainTextResponse(text, status_code=421)(scope, receive, send)


class OwnPagesOnly:
    """Refuses what a foreign web page could send, and tells browsers to keep foreign pages out.

    `public_url` is where browsers reach it, if a gateway asks for it by another host.
    """

    def __init__(self, app: ASGIApp, public_url: str | None) -> None:
        self._app = app
        self._public_origin = _origin(public_url) if public_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                # Beside the policy that a page brings along: browsers obey both.
                headers.append("Content-Security-Policy", "frame-ancestors 'none'")
            await send(message)

        refusal = self.refusal(scope)
        answer = self._app if refusal is None else PlainTextResponse(refusal[1] + "\n", status_code=refusal[0])
        await answer(scope, receive, send_guarded)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Say with which status and why a request is refused; None where it is let in."""
        headers = Headers(scope=scope)
        if scope["type"] == "http" and scope["method"] in READING:
            return None
        if not self._is_own(headers):
            return 403, (
                f"A page of {headers.get('origin', 'another site')!r} may not use Dagster. Behind a gateway that "
                "changes the host, set DAGSTER_PUBLIC_URL to the address that people use."
            )
        # Events of external assets may be reported in the query alone.
        if scope["type"] == "http" and _media_type(headers) not in ("", JSON):
            return 415, f"Send {JSON}."
        return None

    def _is_own(self, headers: Headers) -> bool:
        """Tell what Dagster's own pages and programs send from what a page of another site makes a browser send."""
        origin = headers.get("origin")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return False
        if origin is None:
            return True
        # The scheme is left out: a gateway that adds TLS is asked by https, and asks by http.
        own = _origin(origin)
        return own is not None and (own[1] == headers.get("host", "").lower() or own == self._public_origin)


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _origin(url: str) -> tuple[str, str] | None:
    """Read scheme, host and port of an address; None for one without, such as the origin `null`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return (parts.scheme, parts.netloc.lower()) if parts.scheme and parts.netloc else None


class WholeBodies:
    """Reads bodies and refuses bad ones, and large ones: Dagster would read each into memory, whatever its size."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "websocket":

            async def receive_short() -> Message:
                message = await receive()
                is_long = len(message.get("text") or message.get("bytes") or "") > MOST_QUERY_CHARACTERS
                return {"type": "websocket.disconnect", "code": 1009} if is_long else message

            await self._app(scope, receive_short, send)
            return
        if scope["type"] != "http" or scope["method"] in READING:
            await self._app(scope, receive, send)
            return
        body = bytearray()
        with suppress(ClientDisconnect):
            async for chunk in Request(scope, receive).stream():
                body += chunk
                if len(body) > MOST_BODY_BYTES:
                    refusal = f"The body has more than {MOST_BODY_BYTES // 1_000_000} MB. Send less.\n"
                    await PlainTextResponse(refusal, status_code=413)(scope, receive, send)
                    return
            if _media_type(Headers(scope=scope)) == JSON and (fault := body_fault(body)):
                await PlainTextResponse(f"{fault}\n", status_code=400)(scope, receive, send)
                return
            whole = [{"type": "http.request", "body": bytes(body)}]

            async def receive_whole() -> Message:
                return whole.pop() if whole else await receive()

            await self._app(scope, receive_whole, send)


class OfRole:
    """Refuses a route to those whose role does not allow it; to everybody where it has no role yet."""

    def __init__(self, app: ASGIApp, path: str, role: Role | None) -> None:
        self._app = app
        self._path = path
        self._role = role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        asker = asker_of(scope)
        refusal = asker and asker.refusal(self._path, self._role)
        answer = PlainTextResponse(f"{refusal}\n", status_code=403) if refusal else self._app
        await answer(scope, receive, send)


def role_of_route(route: Route | WebSocketRoute | Mount) -> Role | None:
    """Give the role that a route takes; None where it has none yet."""
    return Role.VIEWER if (route.name or "").endswith("_static") else ROUTES.get(route.path)


def _guard_routes(routes: Iterable[BaseRoute]) -> None:
    for route in routes:
        if isinstance(route, Mount) and route.routes:
            _guard_routes(route.routes)
        elif isinstance(route, Route | WebSocketRoute | Mount):
            route.app = OfRole(route.app, route.path, role_of_route(route))
        else:
            raise TypeError(f"This version of Dagster has a route that nobody can guard: {route!r}.")


def body_fault(body: bytearray) -> str | None:
    """Say why a body is none for Dagster; None where it is one, whatever Dagster makes of it.

    Dagster itself fails on such a body as if the server were at fault, or stores what breaks its pages for everybody.
    """
    try:
        asked = json.loads(body)
        json.dumps(asked, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "The body holds half a surrogate pair: a text was cut inside of a character."
    except (ValueError, RecursionError):
        return "The body is not JSON."
    if not isinstance(asked, dict):
        return "The body must be one JSON object. Send a list as several requests."
    for name, kind in (("query", str), ("variables", dict), ("operationName", str), ("data_version", str)):
        if not isinstance(asked.get(name), kind | None):
            return f"{name} must be {'a text' if kind is str else 'an object'}."
    if len(asked.get("query") or "") > MOST_QUERY_CHARACTERS:
        return f"query has more than {MOST_QUERY_CHARACTERS:,} characters. Give values as variables."
    return None


class GuardedWebserver(DagsterWebserver[Any, WorkspaceRequestContext]):
    """Dagster's webserver with the guard in front of everything that it serves."""

    @override
    def build_middleware(self) -> list[Middleware]:
        return [
            Middleware(OwnPagesOnly, public_url=environment.text("DAGSTER_PUBLIC_URL")),
            Middleware(KnownHosts, hosts=allowed_hosts()),
            Middleware(Askers, secret=gateway_secret_from_environment()),
            Middleware(WholeBodies),
            *super().build_middleware(),
        ]

    @override
    def build_routes(self) -> list[BaseRoute]:
        routes: list[BaseRoute] = super().build_routes()  # type: ignore[no-untyped-call]
        _guard_routes(routes)
        return routes

    @override
    def build_graphql_schema(self) -> Schema:
        schema = super().build_graphql_schema()
        guard_mutations(schema)
        return schema

    @override
    def build_graphql_validation_rules(self) -> Collection[type[ASTValidationRule]]:
        # Not the one that compares all fields of one name with one another: a long query would take it hours.
        return [rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule]

    @contextmanager
    @override
    def request_context(self, conn: HTTPConnection) -> Iterator[WorkspaceRequestContext]:
        with super().request_context(conn) as context, AskedRequest(context, asker_of(conn.scope)) as request:
            yield request

    @override
    async def graphql_http_endpoint(self, request: Request) -> Response:
        # Looked at here and not by the path: the router brings others than `/graphql` here too, such as `/graphql%0A`.
        if request.method != "POST":
            # The page of the GraphQL playground is all that is to be had by GET.
            if "text/html" not in request.headers.get("accept", ""):
                return PlainTextResponse(f"GraphQL is answered by POST only, as {JSON}.\n", status_code=405)
        elif _media_type(request.headers) != JSON:
            return PlainTextResponse(f"Send {JSON}.\n", status_code=415)
        answer: Response = await super().graphql_http_endpoint(request)
        return answer

    @override
    def handle_graphql_errors(self, errors: Sequence[GraphQLError]) -> list[GraphQLFormattedError]:
        """Tell each error without its stack trace, which Dagster would send along, and which belongs into the log."""
        for error in errors:
            if error.original_error is not None:
                logger.error("GraphQL failed at %s.", error.path, exc_info=error.original_error)
        return [error.formatted for error in errors]

    @override
    async def gen_graphql_response(
        self,
        request_context: WorkspaceRequestContext,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
    ) -> JSONResponse:
        response = await super().gen_graphql_response(request_context, query, variables, operation_name)
        if isinstance(request_context, AskedRequest) and request_context.is_refused:
            response.status_code = 403
        return response


def main() -> None:
    """Serve, with the options of `dagster-webserver`."""
    # Where Dagster's command line looks its class up, for which it has no option.
    app: Any = dagster_webserver.app
    if app.DagsterWebserver is not DagsterWebserver:
        raise RuntimeError("This version of Dagster makes its webserver elsewhere, where the guard is not put in.")
    app.DagsterWebserver = GuardedWebserver
    cli.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
