"""Every address of both UIs, asked through the gateway: as nobody, with a key of Langflow's, and in each role."""

import http.client
import ssl
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import pytest
from harness import addresses
from harness.addresses import WEB_SOCKET, WITH_A_KEY, Addresses, filled
from harness.gateway import COOKIE, HOST, LOGIN_AT_PROVIDER, PASSWORD, Gateway, Ui, gateway, hash_of
from harness.stack import IMAGE_TAG, ROOT

PEOPLE = {"victor": "viewer", "eddy": "editor", "anna": "admin"}
PROGRAM = {"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}

# --- What is so on purpose -------------------------------------------------------------------------------------------

PUBLIC = {
    "/logout": "leads nobody to the page that says that they are logged out",
    **{f"/gateway/{page.name}": "a page of the gateway's own" for page in (ROOT / "docker/gateway/pages").iterdir()},
}
"""What nobody may ask for, and why."""
SERVED_TO_NO_ONE = {400, 404, 405}
"""What httpd answers to a path or a method that it knows nothing of, whoever asks."""
A_VIEWER_MAY = {
    ("POST", "/api/v1/logout"): "ends no other session than their own",
    ("POST", "/api/v1/authz/me/permissions"): "reads what they may do: the pages gray out the rest",
    ("GET", "/api/v1/users/me/data-export"): "reads; what it writes is that it was read",
    ("GET", "/api/v1/data-subjects/end-users"): "reads; what it writes is that it was read",
    ("GET", "/api/v1/data-subjects/requests/{request_id}/export"): "reads; what it writes is that it was read",
}
"""What a viewer may ask of Langflow although it is a POST or is said to write, and why."""
A_VIEWER_MAY_NOT = {("GET", "/api/v1/build/{flow_id}/{vertex_id}/stream"): "runs a component"}
"""What a viewer may not ask of Langflow although it is a GET that is not said to write, and why."""


class Client:
    """Asks for paths as they are, over one connection.

    Args:
        running: The gateway.
        ui: The name of a UI's address in it.
        headers: What is sent with each request.
    """

    def __init__(self, running: Gateway, ui: str, **headers: str) -> None:
        context = ssl.create_default_context(cafile=str(running.authority))
        port = urlsplit(getattr(running, ui)).port
        self._connection = http.client.HTTPSConnection(HOST, port, context=context, timeout=20)
        self._headers = headers

    def ask(self, method: str, path: str, headers: dict[str, str] = PROGRAM) -> http.client.HTTPResponse:
        """Ask, and read the answer to its end."""
        if method == WEB_SOCKET:
            method, headers = "GET", {**headers, **UPGRADE}
        self._connection.request(method, path, headers={**headers, **self._headers})
        answer = self._connection.getresponse()
        if answer.status == http.client.SWITCHING_PROTOCOLS:
            self._connection.close()
        else:
            answer.read()
        return answer


def other_ways(path: str) -> list[str]:
    """Write a path in other ways, which a server could take for the same."""
    rest = path[1:]
    return [
        *(f"/{path}", f"/.{path}", f"/x/..{path}", f"/x/%2e%2e{path}", f"/x/..%2f{rest}", f"/%2e/{rest}"),
        *(f"/gateway/..{path}", f"/gateway/..%2f{rest}", f"/gateway/..;{path}", f"/gateway/login/../..{path}"),
        *(f"{path}/", f"{path};x", f"{path}%00", f"{path}%0A", f"{path}%3f", path.upper()),
        f"/%{ord(rest[:1] or 'x'):02x}{rest[1:]}",
    ]


def asked(ui: Ui, since: int = 0) -> set[str]:
    """What reached a UI: methods and paths."""
    return {what for what, _ in ui.asked[since:]}


@pytest.fixture(scope="module")
def uis() -> dict[str, Addresses]:
    """Each UI's addresses, by the name of its own address in `Gateway`."""
    return {"dagster_url": addresses.dagster(), "langflow_url": addresses.langflow(f"dagma/langflow:{IMAGE_TAG}")}


@pytest.fixture(scope="module")
def with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    hashed = hash_of(PASSWORD)
    roles = {f"GATEWAY_{role.upper()}S": name for name, role in PEOPLE.items()}
    users = "".join(f"{name}:{hashed}\n" for name in PEOPLE)
    with gateway(tmp_path_factory.mktemp("users"), GATEWAY_USERS=users, **roles) as running:
        yield running


@pytest.fixture(scope="module")
def with_a_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("provider"), GATEWAY_VIEWERS="*", **LOGIN_AT_PROVIDER) as running:
        yield running


@pytest.fixture(params=["with_users", "with_a_provider"])
def unasked(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A gateway of each kind of login, for a test in which nothing may reach the UIs."""
    running: Gateway = request.getfixturevalue(request.param)
    before = len(running.dagster.asked), len(running.langflow.asked)
    yield running
    assert (asked(running.dagster, before[0]), asked(running.langflow, before[1])) == (set(), set())


def is_the_way_to_the_login(answer: http.client.HTTPResponse, login: str) -> bool:
    return answer.status == 302 and (answer.headers["Location"] or "").startswith(login)


# --- Nobody ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ui", ["dagster_url", "langflow_url"])
def test_nobody_is_answered_by_a_route(unasked: Gateway, uis: dict[str, Addresses], ui: str) -> None:
    nobody = Client(unasked, ui)
    routes = [(method, filled(route)) for method, route in sorted(uis[ui].routes)]
    answers = [(method, path, nobody.ask(method, path).status) for method, path in routes]
    assert [each for each in answers if each[-1] not in (401, 403)] == []
    # Four of the ways for each route, in turn, so that each way is tried at many.
    ways = [(method, way) for number, (method, path) in enumerate(routes) for way in other_ways(path)[number % 4 :: 4]]
    answers = [(method, way, nobody.ask(method, way).status) for method, way in ways]
    assert [each for each in answers if each[-1] not in (401, 403, *SERVED_TO_NO_ONE)] == []


@pytest.mark.parametrize("ui", ["dagster_url", "langflow_url"])
def test_nobody_is_led_from_every_page_to_the_login(unasked: Gateway, uis: dict[str, Addresses], ui: str) -> None:
    nobody = Client(unasked, ui)
    paths = {filled(route) for _, route in uis[ui].routes} | uis[ui].pages
    assert len(paths) > 100
    has_users = (unasked.folder / "secrets" / "GATEWAY_USERS").read_text()
    login = "/gateway/login.html?" if has_users else f"{unasked.provider.url}/"
    elsewhere = [
        (path, answer.status, answer.headers["Location"])
        for path in sorted(paths - PUBLIC.keys())
        if not is_the_way_to_the_login(answer := nobody.ask("GET", path, PAGE), login)
    ]
    assert elsewhere == []


@pytest.mark.parametrize("ui", ["dagster_url", "langflow_url"])
def test_what_is_public_is_the_gateways_own(unasked: Gateway, ui: str) -> None:
    nobody = Client(unasked, ui)
    statuses = {path: nobody.ask("GET", path, PAGE).status for path in PUBLIC}
    assert statuses == dict.fromkeys(PUBLIC, 200) | {"/logout": 302}
    assert nobody.ask("GET", "/gateway/").status in (403, 404)


# --- Keys of Langflow's own ------------------------------------------------------------------------------------------


def test_a_key_leads_to_the_routes_where_langflow_asks_for_it_and_to_no_other(
    with_users: Gateway, uis: dict[str, Addresses]
) -> None:
    machine = Client(with_users, "langflow_url", **{"x-api-key": "sk-x"})
    statuses = {(method, path): machine.ask(method, filled(path)).status for method, path in uis["langflow_url"].routes}
    assert {route for route, status in statuses.items() if status != 401} == WITH_A_KEY


def test_no_way_leads_from_the_routes_of_a_key_to_others(with_users: Gateway, uis: dict[str, Addresses]) -> None:
    machine = Client(with_users, "langflow_url", **{"x-api-key": "sk-x"})
    before = len(with_users.langflow.asked)
    for path in ("/", "/logs", "/api/v1/users/", "/api/v1/flows/", "/api/v2/workflows/public"):
        ways = [f"{up}{up}{up}{path}" for up in ("/..", "/%2e%2e", "/..;", "/%252e%252e", "/.%2e")]
        for way in (*ways, f"/..%2f..%2f..{path}", f"/x/..//../../..{path}"):
            machine.ask("POST", f"/api/v1/run{way}")
    for way in other_ways("/api/v2/workflows/public"):
        machine.ask("POST", way)
    reached = {unquote(what) for what in asked(with_users.langflow, before)}
    assert [what for what in reached if not what.startswith("POST /api/v1/run/")] == []
    # What Langflow, which makes nothing of dots, takes for a flow's name.
    assert [what for what in reached if {"..", "."} & set(what.split("/"))] == []


# --- Roles -----------------------------------------------------------------------------------------------------------


def logged_in(running: Gateway, name: str, ui: str) -> Client:
    return Client(running, ui, Cookie=f"{COOKIE}={running.log_in(name).cookies[COOKIE]}")


def sent(method: str, route: str) -> str:
    """What reaches a UI of a request for a route."""
    return f"{'GET' if method == WEB_SOCKET else method} {filled(route)}"


@pytest.mark.parametrize("name", PEOPLE)
def test_a_viewer_reaches_what_reads_in_langflow_and_the_others_everything(
    with_users: Gateway, uis: dict[str, Addresses], name: str
) -> None:
    langflow = uis["langflow_url"]
    assert langflow.routes >= A_VIEWER_MAY.keys() | A_VIEWER_MAY_NOT.keys(), "exceptions of routes that are gone"
    changing = {each for each in langflow.routes if each[0] not in ("GET", "HEAD", "OPTIONS")} | langflow.writing
    changing = (changing - A_VIEWER_MAY.keys()) | A_VIEWER_MAY_NOT.keys()
    somebody, before = logged_in(with_users, name, "langflow_url"), len(with_users.langflow.asked)
    statuses = {each: somebody.ask(each[0], filled(each[1])).status for each in sorted(langflow.routes)}
    refused = {each for each, status in statuses.items() if status == 403}
    assert refused == (changing if PEOPLE[name] == "viewer" else set())
    assert {status for each, status in statuses.items() if each not in refused} <= {200, 101}
    # The stand-in for Langflow answers for its health without a word.
    reached = {sent(*each) for each in langflow.routes - refused} - {"GET /health_check"}
    assert asked(with_users.langflow, before) == reached


def test_a_viewer_gets_by_no_other_way_to_what_writes_in_langflow(
    with_users: Gateway, uis: dict[str, Addresses]
) -> None:
    viewer, before = logged_in(with_users, "victor", "langflow_url"), len(with_users.langflow.asked)
    writing = (uis["langflow_url"].writing - A_VIEWER_MAY.keys()) | A_VIEWER_MAY_NOT.keys()
    for method, route in sorted(writing):
        for way in other_ways(filled(route)):
            viewer.ask(method, way)
    # A router in Python looks past a line's end.
    reached = {unquote(what).removesuffix("\n") for what in asked(with_users.langflow, before)}
    assert reached.isdisjoint(sent(*each) for each in writing)


@pytest.mark.parametrize("name", PEOPLE)
def test_dagster_is_told_the_role_at_every_route(with_users: Gateway, uis: dict[str, Addresses], name: str) -> None:
    somebody, before = logged_in(with_users, name, "dagster_url"), len(with_users.dagster.asked)
    routes = uis["dagster_url"].routes
    assert {somebody.ask(*each[:1], filled(each[1])).status for each in sorted(routes)} == {200, 101}
    reached = with_users.dagster.asked[before:]
    assert {what for what, _ in reached} == {sent(*each) for each in routes} - {"GET /server_info", "HEAD /server_info"}
    roles = [[value for header, value in headers if header.lower() == "x-dagma-role"] for _, headers in reached]
    assert roles == [[PEOPLE[name]]] * len(reached)
