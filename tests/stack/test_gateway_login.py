"""The gateway in front of both UIs, with a users file, and what an attacker tries on it.

(tests/stack/test_gateway.py is about a gateway in front of Langflow, as Dagma's own client meets it.)
"""

import http.client
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urljoin

import pytest
import requests
from harness.gateway import (
    COOKIE,
    HOST,
    MACHINES,
    PASSWORD,
    SECRETS,
    Gateway,
    bearer,
    gateway,
    hash_of,
    headers_of,
)
from harness.stack import ROOT

ROLES = {"GATEWAY_ADMINS": "ops,anna", "GATEWAY_EDITORS": "eddy", "GATEWAY_VIEWERS": "victor,readers"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    hashed = hash_of(PASSWORD)
    users = "".join(f"{name}:{hashed}\n" for name in ("anna", "eddy", "victor", "norole"))
    with gateway(tmp_path_factory.mktemp("gateway"), GATEWAY_USERS=users, **ROLES, **MACHINES) as running:
        yield running


@pytest.fixture
def unasked(running: Gateway) -> Iterator[Gateway]:
    """The gateway, for a test in which nothing may reach the UIs."""
    before = len(running.dagster.asked), len(running.langflow.asked)
    yield running
    assert (len(running.dagster.asked), len(running.langflow.asked)) == before


@pytest.fixture(scope="module")
def anna(running: Gateway) -> requests.Session:
    return running.log_in("anna")


@pytest.fixture(scope="module")
def eddy(running: Gateway) -> requests.Session:
    return running.log_in("eddy")


@pytest.fixture(scope="module")
def victor(running: Gateway) -> requests.Session:
    return running.log_in("victor")


# --- Nobody ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/graphql", "/server_info", "/runs/x", "//", "//graphql", "/./graphql", "/gateway/../graphql"),
        *(
            "/gateway/..%2fgraphql",
            "/gateway/%2e%2e/graphql",
            "/gateway/login/../../graphql",
            "/%67raphql",
            "/graphql;x",
        ),
        *("/api/v1/run/x", "/api/v1/users/", "/health_check", "/gateway/unknown", "/.well-known/x", "/gateway/login"),
    ],
)
@pytest.mark.parametrize("ui", ["dagster_url", "langflow_url"])
def test_nobody_gets_past_the_login(unasked: Gateway, ui: str, path: str) -> None:
    for method in ("GET", "POST", "OPTIONS", "TRACE", "FOO"):
        request = requests.Request(method, getattr(unasked, ui) + "/").prepare()
        request.url = getattr(unasked, ui) + path  # as it is, without what requests makes of dots
        answer = unasked.browser().send(request, allow_redirects=False, verify=str(unasked.authority))
        to_login = answer.status_code == 302 and answer.headers["Location"].startswith("/gateway/login.html?")
        assert to_login or answer.status_code in (400, 401, 403, 404, 405, 501), (method, answer.status_code)


def test_a_page_is_led_to_the_login_and_a_program_is_told_401(unasked: Gateway) -> None:
    page = unasked.browser().get(unasked.dagster_url + "/runs", allow_redirects=False)
    assert (page.status_code, page.headers["Location"]) == (302, "/gateway/login.html?/runs")
    program = unasked.browser().get(unasked.dagster_url + "/graphql", headers={"Accept": "application/json"})
    assert program.status_code == 401


def test_a_wrong_password_opens_nothing(unasked: Gateway) -> None:
    form = {"httpd_username": "anna", "httpd_password": "wrong"}
    answer = unasked.browser().post(unasked.login_url, form, allow_redirects=False)
    assert answer.status_code == 401
    assert "is wrong" in answer.text
    assert COOKIE not in answer.cookies


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost.evil.example", "dagster-webserver"])
def test_a_foreign_host_is_served_by_neither_ui(unasked: Gateway, anna: requests.Session, host: str) -> None:
    for url in (unasked.dagster_url, unasked.langflow_url):
        assert anna.get(url + "/graphql", headers={"Host": host}, allow_redirects=False).status_code == 421


def test_plain_http_leads_to_https(unasked: Gateway) -> None:
    answer = requests.get(
        f"http://{HOST}:{unasked.ports['GATEWAY_HTTP_PORT']}/runs?a=b", allow_redirects=False, timeout=9
    )
    assert (answer.status_code, answer.headers["Location"]) == (308, f"{unasked.dagster_url}/runs?a=b")


def test_old_tls_is_refused(unasked: Gateway) -> None:
    context = ssl.create_default_context(cafile=str(unasked.authority))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with unasked.tls() as connection:
        assert connection.version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError), unasked.tls() as connection:
        context.wrap_socket(connection.unwrap(), server_hostname=HOST)


# --- Who is logged in ------------------------------------------------------------------------------------------------


def test_dagster_is_told_who_asks_and_in_which_role(running: Gateway, anna: requests.Session) -> None:
    assert headers_of(anna.get(running.dagster_url + "/runs"), "x-dagma-") == [
        ("x-dagma-gateway", SECRETS["DAGMA_GATEWAY_SECRET"]),
        ("x-dagma-principal", "anna"),
        ("x-dagma-role", "admin"),
    ]


def test_langflow_is_told_too_by_another_secret_and_the_same_login(running: Gateway, anna: requests.Session) -> None:
    headers = headers_of(anna.get(running.langflow_url + "/flows"), "x-dagma-")
    assert ("x-dagma-login", f"{SECRETS['LANGFLOW_GATEWAY_SECRET']} admin anna") in headers
    assert SECRETS["DAGMA_GATEWAY_SECRET"] not in str(headers)


def test_each_has_their_role(running: Gateway, eddy: requests.Session, victor: requests.Session) -> None:
    for session, role in ((eddy, "editor"), (victor, "viewer")):
        assert ("x-dagma-role", role) in headers_of(session.get(running.dagster_url + "/runs"), "x-dagma-")


def test_who_has_no_role_is_told_so(unasked: Gateway) -> None:
    answer = unasked.log_in("norole").get(unasked.dagster_url + "/runs")
    assert answer.status_code == 403
    assert "have no role" in answer.text


def test_a_viewer_only_reads_in_langflow(running: Gateway, eddy: requests.Session, victor: requests.Session) -> None:
    assert victor.get(running.langflow_url + "/api/v1/flows/").status_code == 200
    assert victor.post(running.langflow_url + "/api/v1/flows/", json={}).status_code == 403
    assert eddy.post(running.langflow_url + "/api/v1/flows/", json={}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example.com", "https://localhost:1", "null"])
@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/api/v1/flows/upload/", {"Content-Type": "multipart/form-data; boundary=x"}),
        ("POST", "/api/v1/build/x/flow", {}),
        ("GET", "/api/v1/flows/", {}),
        ("GET", "/api/v1/terminal", {"Upgrade": "websocket", "Connection": "Upgrade"}),
        ("POST", "/gateway/login.html", {"Content-Type": "multipart/form-data; boundary=x"}),
    ],
)
def test_a_page_of_another_origin_does_nothing_in_langflow(
    unasked: Gateway, anna: requests.Session, method: str, path: str, headers: dict[str, str], origin: str
) -> None:
    answer = anna.request(method, unasked.langflow_url + path, headers={**headers, "Origin": origin})
    assert (answer.status_code, "another origin" in answer.text) == (403, True)


def test_langflows_own_pages_and_machines_act_in_it(running: Gateway, anna: requests.Session) -> None:
    url = running.langflow_url + "/api/v1/flows/"
    assert anna.post(url, headers={"Origin": running.langflow_url}).status_code == 200
    assert anna.post(url).status_code == 200
    machine = {"Origin": "https://evil.example.com", **bearer(running.issuer.token())}
    assert running.browser().post(url, headers=machine).status_code == 200
    key = {"x-api-key": "sk-x"}
    assert running.browser().post(running.langflow_url + "/api/v1/run/x", headers=key).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        {"X-Dagma-Role": "admin", "X-Dagma-Principal": "root", "X-Dagma-Gateway": "guess", "X-Dagma-Login": "guess"},
        {"x-dagma-role": "admin", "x-DAGMA-principal": "root"},
        {"Connection": "close, X-Dagma-Role, X-Dagma-Gateway, X-Dagma-Principal, X-Dagma-Login, X-Forwarded-For"},
        {"Connection": "X-Dagma-Gateway", "Upgrade": "h2c"},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "evil.example", "Forwarded": "for=127.0.0.1"},
    ],
)
def test_headers_from_outside_change_nothing(running: Gateway, victor: requests.Session, sent: dict[str, str]) -> None:
    told = victor.get(running.dagster_url + "/runs", headers=sent)
    assert headers_of(told, "x-dagma-") == [
        ("x-dagma-gateway", SECRETS["DAGMA_GATEWAY_SECRET"]),
        ("x-dagma-principal", "victor"),
        ("x-dagma-role", "viewer"),
    ]
    forwarded = dict(headers_of(told, "x-forwarded-"))
    assert "," not in forwarded["x-forwarded-for"]
    assert forwarded["x-forwarded-host"].startswith("localhost")
    assert not headers_of(told, "forwarded")
    login = dict(headers_of(victor.get(running.langflow_url + "/", headers=sent), "x-dagma-"))["x-dagma-login"]
    assert login == f"{SECRETS['LANGFLOW_GATEWAY_SECRET']} viewer victor"


def test_the_uis_get_no_key_of_the_gateway(running: Gateway, anna: requests.Session) -> None:
    cookies = {"access_token_lf": "x", "theme": "dark", "refresh_token_lf": "y"}
    told = anna.get(running.langflow_url + "/flows", cookies=cookies)
    assert [value.strip("; ") for _, value in headers_of(told, "cookie")] == ["theme=dark"]
    assert not headers_of(anna.get(running.dagster_url + "/", cookies=cookies), "cookie")
    for url in (running.dagster_url, running.langflow_url):
        assert not headers_of(
            requests.get(url, headers=bearer(running.issuer.token()), verify=anna.verify, timeout=9), "auth"
        )


@pytest.mark.parametrize("blank", ["\xa0", "\x85"])
def test_no_cookie_of_langflows_passes_behind_a_blank_of_another_kind(
    running: Gateway, anna: requests.Session, blank: str
) -> None:
    cookie = f"{COOKIE}={anna.cookies[COOKIE]};{blank}access_token_lf=x".encode("latin-1")
    told = running.browser().get(running.langflow_url + "/flows", headers={"Cookie": cookie})
    assert told.status_code == 200
    assert "access_token_lf" not in str(headers_of(told, "cookie"))


def test_the_cookie_is_for_this_host_over_tls_and_for_no_script(running: Gateway) -> None:
    form = {"httpd_username": "anna", "httpd_password": PASSWORD}
    answer = running.browser().post(running.login_url, form, allow_redirects=False)
    name, *attributes = answer.headers["Set-Cookie"].lower().replace(" ", "").split(";")
    assert name.startswith(COOKIE.lower() + "=")
    assert {"path=/", "secure", "httponly", "samesite=lax"} <= set(attributes)
    assert not any(each.startswith("domain") for each in attributes)


def test_a_session_that_somebody_else_chose_is_not_taken(running: Gateway) -> None:
    victim = running.browser()
    victim.cookies.set(COOKIE, "11111111-2222-3333-4444-555555555555", domain="localhost.local", secure=True)
    form = {"httpd_username": "anna", "httpd_password": PASSWORD}
    header = {"Cookie": f"{COOKIE}=11111111-2222-3333-4444-555555555555"}
    answer = victim.post(running.login_url, form, headers=header, allow_redirects=False)
    assert answer.status_code == 302
    stolen = running.browser().get(running.dagster_url + "/", headers=header, allow_redirects=False)
    assert stolen.status_code == 302


@pytest.mark.parametrize("ui", ["dagster_url", "langflow_url"])
def test_a_login_leads_back_to_the_page_that_was_asked_for(running: Gateway, ui: str) -> None:
    browser, asked = running.browser(), "/runs?status=failed&next=%2Fa%0D%0Ab?c"
    login = browser.get(getattr(running, ui) + asked)
    again = browser.post(form_address(login), {"httpd_username": "anna", "httpd_password": "wrong"})
    assert "is wrong" in again.text
    told = browser.post(form_address(again), {"httpd_username": "anna", "httpd_password": PASSWORD})
    assert (told.url, told.json()["asked"]) == (getattr(running, ui) + asked, f"GET {asked}")


def form_address(page: requests.Response) -> str:
    """Where a browser sends the page's form."""
    form = re.search(r'<form method="post"(?: action="([^"]*)")?>', page.text)
    assert form, page.text
    return urljoin(page.url, form[1] or "")


def test_a_login_leads_nowhere_else(tmp_path: Path) -> None:
    with gateway(tmp_path, GATEWAY_USERS=f"anna:{hash_of(PASSWORD)}\n", GATEWAY_ADMINS="anna") as mine:

        def led_to(query: str) -> str | None:
            """Send the query as it is, without what requests makes of its signs."""
            connection = http.client.HTTPSConnection(HOST, mine.ports["GATEWAY_PORT"])
            connection.sock = mine.tls()
            fields = {"httpd_username": "anna", "httpd_password": PASSWORD, "httpd_location": "https://evil.example/"}
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", f"/gateway/login.html?{query}", urlencode(fields), form)
            return connection.getresponse().getheader("Location")

        elsewhere = [
            *("https://evil.example/", "https:evil.example", "evil.example", "//evil.example/", "///evil.example/"),
            *("/\\evil.example/", "\\\\evil.example/", "\\/evil.example/", "%2f%2fevil.example/"),
            *("%0d%0a//evil.example/", f"{mine.langflow_url}/"),
            *("httpd_location=//evil.example/", "url=https://evil.example/"),
        ]
        assert {target: led_to(target) for target in elsewhere} == dict.fromkeys(elsewhere, "/")
        # Paths of this host, which no browser decodes.
        here = ["/%0d%0aSet-Cookie:%20a=b", "/%2fevil.example/", "/%5cevil.example/"]
        assert [led_to(target) for target in here] == here


def test_log_out_ends_the_session_at_both_uis_and_for_copies_of_the_cookie(running: Gateway) -> None:
    session = running.log_in("eddy")
    copy = {"Cookie": f"{COOKIE}={session.cookies[COOKIE]}"}
    for url in (running.dagster_url, running.langflow_url):
        assert running.browser().get(url + "/", headers=copy, allow_redirects=False).status_code == 200
    assert "logged out" in session.get(running.langflow_url + "/logout").text
    for url in (running.dagster_url, running.langflow_url):
        assert session.get(url + "/", allow_redirects=False).status_code == 302
        assert running.browser().get(url + "/", headers=copy, allow_redirects=False).status_code == 302


def sessions(running: Gateway, sql: str = "SELECT count(*) FROM session") -> str:
    """What the database of sessions answers."""
    opened = "import sqlite3; database = sqlite3.connect('/var/lib/gateway/sessions.db'); "
    return running.exec("python3", "-c", f"{opened}print(*database.execute('{sql}')); database.commit()")


def test_nobody_leaves_a_session_behind(unasked: Gateway) -> None:
    before = sessions(unasked)
    for cookie in ("", f"{COOKIE}=11111111-2222-3333-4444-555555555555"):
        for path, said in (("/gateway/logout", "logged out"), ("/runs", "Log in")):
            assert said in unasked.browser().get(unasked.dagster_url + path, headers={"Cookie": cookie}).text
    assert sessions(unasked) == before


def test_a_session_outlives_a_restart(running: Gateway, anna: requests.Session) -> None:
    running.restart()
    anna.close()
    assert anna.get(running.dagster_url + "/runs").status_code == 200


@pytest.mark.parametrize("changed", ["created = created - 10 * 3600", "expiry = expiry - 3600000000"])
def test_a_session_ends_after_its_idle_and_its_total_time(running: Gateway, changed: str) -> None:
    session = running.log_in("eddy")
    assert session.get(running.dagster_url + "/", allow_redirects=False).status_code == 200
    age = f"UPDATE session SET {changed} WHERE rowid = (SELECT max(rowid) FROM session)"  # noqa: S608  # of this test alone
    sessions(running, age)
    assert session.get(running.dagster_url + "/", allow_redirects=False).status_code == 302


# --- What has to pass, and what must not -----------------------------------------------------------------------------


def test_a_web_socket_passes(running: Gateway, anna: requests.Session) -> None:
    with running.tls() as connection:
        connection.sendall(
            (
                f"GET /graphql HTTP/1.1\r\nHost: {HOST}:{running.ports['GATEWAY_PORT']}\r\nUpgrade: websocket\r\n"
                "Connection: keep-alive, Upgrade, X-Dagma-Role\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: {COOKIE}={anna.cookies[COOKIE]}\r\n\r\n"
            ).encode()
        )
        answer = connection.recv(4000).decode()
        assert answer.startswith("HTTP/1.1 101 ")
        connection.sendall(b"a frame")
        assert connection.recv(100) == b"a frame"
    asked, headers = running.dagster.asked[-1]
    assert asked == "GET /graphql"
    assert ("x-dagma-role", "admin") in [(name.lower(), value) for name, value in headers]


def test_a_stream_arrives_as_it_is_sent(running: Gateway, anna: requests.Session) -> None:
    with anna.get(running.langflow_url + "/stream", stream=True) as answer:
        lines = answer.iter_lines(chunk_size=1)
        assert next(lines) == b"first"
        running.langflow.go_on.set()  # type: ignore[attr-defined]
        assert next(lines) == b"second"


def test_an_upload_of_100_mb_passes(running: Gateway, anna: requests.Session) -> None:
    parts = (b"x" * 1_000_000 for _ in range(100))
    assert anna.post(running.langflow_url + "/api/v2/files", data=parts).json()["size"] == 100_000_000


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Transfer-Encoding: xchunked\r\nContent-Length: 5",
        "Transfer-Encoding : chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 50",
        "Content-Length: +5",
        "Transfer-Encoding:\x0bchunked\r\nContent-Length: 5",
    ],
)
def test_no_second_request_is_smuggled_in(running: Gateway, anna: requests.Session, framing: str) -> None:
    before = len(running.dagster.asked)
    with running.tls() as connection:
        connection.sendall(
            (
                f"POST /graphql HTTP/1.1\r\nHost: {HOST}:{running.ports['GATEWAY_PORT']}\r\n"
                f"Cookie: {COOKIE}={anna.cookies[COOKIE]}\r\n{framing}\r\n\r\n"
                "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: dagster-webserver\r\nX-Dagma-Role: admin\r\n\r\n"
            ).encode()
        )
        connection.settimeout(3)
        received = b""
        try:
            while part := connection.recv(4000):
                received += part
        except TimeoutError:
            pass
    assert received.startswith(b"HTTP/1.1 ")
    asked = [each for each, _ in running.dagster.asked[before:]]
    assert set(asked) <= {"POST /graphql"}


def test_pages_tell_browsers_what_not_to_do(running: Gateway, anna: requests.Session) -> None:
    for url in (running.dagster_url, running.langflow_url):
        headers = anna.get(url + "/").headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
        assert "Strict-Transport-Security" not in headers, "other servers of localhost need not have TLS"
    assert "frame-ancestors 'self'" in anna.get(running.langflow_url + "/").headers["Content-Security-Policy"]


def test_the_gateways_own_pages_have_a_style_and_run_nothing(unasked: Gateway) -> None:
    pages = list((ROOT / "docker/gateway/pages").glob("*.html"))
    assert pages
    for each in pages:
        page = unasked.browser().get(f"{unasked.langflow_url}/gateway/{each.name}")
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self';"), each
        assert "unsafe" not in policy, each
        style = re.search(r'<link rel="stylesheet" href="(.*)">', page.text)
        assert style, each
        answer = unasked.browser().get(urljoin(page.url, style[1]))
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/css")


def test_the_log_says_who_did_what_and_nothing_secret(running: Gateway, anna: requests.Session) -> None:
    token = running.issuer.token(sub="eddy", groups=None)
    running.ask_as(token, "/graphql?query=of-a-secret")
    anna.get(running.langflow_url + "/flows?x-api-key=key-in-a-query", headers={"x-api-key": "key-in-a-header"})
    log = running.log()
    assert re.search(r" eddy GET /graphql 200 \d+ \d+ms", log)
    for secret in ("of-a-secret", "key-in-a-", token, anna.cookies[COOKIE], PASSWORD, *filter(None, SECRETS.values())):
        assert secret not in log


def test_it_is_healthy_where_both_uis_answer_through_it(running: Gateway) -> None:
    running.exec("python3", "/opt/gateway/health.py")
    running.langflow.is_broken = True
    try:
        with pytest.raises(AssertionError, match="Langflow does not answer"):
            running.exec("python3", "/opt/gateway/health.py")
    finally:
        running.langflow.is_broken = False


# --- Guessed passwords -----------------------------------------------------------------------------------------------


def test_a_password_can_not_be_guessed_fast(tmp_path: Path) -> None:
    with gateway(tmp_path, GATEWAY_USERS=f"anna:{hash_of(PASSWORD)}\n", GATEWAY_ADMINS="anna") as mine:
        url, form = mine.login_url, {"httpd_username": "anna", "httpd_password": "wrong"}
        anna = mine.log_in("anna")
        statuses = [mine.browser().post(url, form, allow_redirects=False).status_code for _ in range(25)]
        assert (set(statuses[:15]), set(statuses[20:])) == ({401}, {429})
        form["httpd_password"] = PASSWORD
        assert mine.browser().post(url, form, allow_redirects=False).status_code == 429
        anna.close()
        assert anna.get(f"{mine.dagster_url}/runs").status_code == 200


def test_a_password_can_not_be_guessed_by_another_path_either(tmp_path: Path) -> None:
    with gateway(tmp_path, GATEWAY_USERS=f"anna:{hash_of(PASSWORD)}\n", GATEWAY_ADMINS="anna") as mine:
        request = requests.Request("POST", mine.dagster_url + "/", data={"httpd_username": "a", "httpd_password": "b"})
        statuses = []
        for path in ["/x", "//gateway/login.html", "/gateway/%6cogin.html"] * 8:
            prepared = request.prepare()
            prepared.url = mine.dagster_url + path  # as it is, without what requests makes of slashes and signs
            statuses.append(
                mine.browser().send(prepared, allow_redirects=False, verify=str(mine.authority)).status_code
            )
        assert (429 in statuses[:15], set(statuses[20:])) == (False, {429})


@pytest.mark.parametrize("ui", ["dagster_url", "langflow_url"])
def test_a_password_opens_nothing_where_no_login_is(unasked: Gateway, ui: str) -> None:
    form = {"httpd_username": "anna", "httpd_password": PASSWORD}
    answer = unasked.browser().post(getattr(unasked, ui) + "/x", form, allow_redirects=False)
    assert COOKIE not in answer.cookies
