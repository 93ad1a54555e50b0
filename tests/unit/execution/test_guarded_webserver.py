"""The guard in front of Dagster's webserver: the real one, as the stack starts it, over HTTP and WebSocket."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from dagma import environment
from dagma.cli.ask_input import MOST_BYTES
from dagma.execution.guarded_webserver import MOST_BODY_BYTES, OwnPagesOnly, allowed_hosts
from dagma.execution.webserver import Webserver
from dagma.execution.webserver_settings import OWN_HOSTS, allowed_hosts_from_environment

QUERY = json.dumps({"query": "{ version }"})
JSON = {"Content-Type": "application/json"}
EVIL = "http://evil.example"
ROOT = Path(__file__).parents[3]
PUBLIC = "https://dagster.example.com"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A webserver's port; it serves no code."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    home: Path = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "dagma.execution.guarded_webserver", "--port", str(port), "--empty-workspace"],
        cwd=home,  # where there is no .env, which Dagster would load
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "DAGSTER_HOME": str(home),
            "DAGSTER_PUBLIC_URL": PUBLIC,
            "DAGSTER_ALLOWED_HOSTS": "inner.example, *.lan",
        },
    )
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def ask(
    port: int, method: str, path: str = "/graphql", body: str | None = None, **headers: str | None
) -> tuple[HTTPResponse, str]:
    """Send a request; headers by name, with underscores."""
    sent = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in sent)
    if body is not None:
        sent["Content-Length"] = str(len(body))
    for name, value in sent.items():
        connection.putheader(name, value)
    connection.endheaders(body.encode() if body is not None else None)
    response = connection.getresponse()
    return response, response.read().decode()


def post(port: int, **headers: str | None) -> tuple[int, str]:
    response, text = ask(port, "POST", body=QUERY, **{"Content_Type": "application/json", **headers})
    return response.status, text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:3000"},
        {"Host": "[::1]:3000"},
        {"Host": "dagster-webserver:3000"},
        {"Host": "dagster.example.com", "Origin": PUBLIC, "Sec_Fetch_Site": "same-origin"},
        {"Host": "inner.example:3000", "Origin": "http://inner.example:3000"},
        {"Host": "a.lan"},
        # A gateway that changes the host: the browser's page is the public one.
        {"Host": "dagster-webserver:3000", "Origin": PUBLIC, "Sec_Fetch_Site": "same-origin"},
        {"Content_Type": "application/json; charset=utf-8"},
    ],
)
def test_programs_and_dagsters_own_pages_are_answered(port: int, headers: dict[str, str]) -> None:
    status, text = post(port, **headers)
    assert (status, "version" in json.loads(text)["data"]) == (200, True)


@pytest.mark.parametrize(
    ("headers", "status", "told"),
    [
        ({"Host": "evil.example:3000", "Origin": "http://evil.example:3000"}, 421, "DAGSTER_ALLOWED_HOSTS"),
        ({"Host": "127.0.0.1.evil.example"}, 421, "DAGSTER_ALLOWED_HOSTS"),
        ({"Host": "sub.dagster.example.com"}, 421, "DAGSTER_ALLOWED_HOSTS"),
        ({"Host": ""}, 421, "DAGSTER_ALLOWED_HOSTS"),
        ({"Origin": EVIL}, 403, "DAGSTER_PUBLIC_URL"),
        ({"Origin": "null"}, 403, "DAGSTER_PUBLIC_URL"),
        # A neighbour on the same machine, and a page of the public host that came without TLS.
        ({"Host": "localhost:3000", "Origin": "http://localhost:8888"}, 403, "DAGSTER_PUBLIC_URL"),
        ({"Origin": "http://dagster.example.com"}, 403, "DAGSTER_PUBLIC_URL"),
        ({"Sec_Fetch_Site": "cross-site"}, 403, "DAGSTER_PUBLIC_URL"),
        ({"Sec_Fetch_Site": "same-site"}, 403, "DAGSTER_PUBLIC_URL"),
        ({"Content_Type": "text/plain"}, 415, "application/json"),
        ({"Content_Type": "text/plain; application/json"}, 415, "application/json"),
        ({"Content_Type": "application/graphql"}, 415, "application/json"),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        ({"Content_Type": None}, 415, "application/json"),
    ],
)
def test_what_a_foreign_page_could_send_is_refused_and_says_why(
    port: int, headers: dict[str, str | None], status: int, told: str
) -> None:
    answered, text = post(port, **headers)
    assert answered == status
    assert told in text
    assert "version" not in text


def test_a_wrong_host_is_told_which_setting_lets_it_in(port: int) -> None:
    response, text = ask(port, "GET", "/runs", Host="dagster.corp:3000")
    assert response.status == 421
    assert response.getheader("Content-Type") == "text/plain; charset=utf-8"
    assert "'dagster.corp:3000'" in text
    assert "DAGSTER_ALLOWED_HOSTS" in text


@pytest.mark.parametrize("accept", [None, "application/json", "*/*"])
# The router takes the second one for the first.
@pytest.mark.parametrize("path", ["/graphql", "/graphql%0A"])
def test_no_graphql_is_answered_by_get(port: int, path: str, accept: str | None) -> None:
    response, text = ask(port, "GET", path + "?query=%7B%20version%20%7D", Accept=accept)
    assert response.status == 405
    assert "POST" in text


@pytest.mark.parametrize("path", ["/graphql", "/report_asset_materialization/external"])
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "not JSON"),
        ("null", "one JSON object"),
        (f"[{QUERY}]", "several requests"),
        ('"{ version }"', "one JSON object"),
        ('{"query": 5}', "query must be a text"),
        ('{"query": "{ version }", "variables": [1]}', "variables must be an object"),
        ('{"query": "{ version }", "variables": "[1]"}', "variables must be an object"),
        ('{"query": "{ version }", "operationName": {}}', "operationName must be a text"),
        ("{query", "not JSON"),
        ("[" * 100_000, "not JSON"),
        # Dagster's pages would fail for everybody on what it stores of these.
        ('{"query": "{ version }", "metadata": {"quote": "\\ud83d"}}', "cut inside of a character"),
        ('{"query": "{ version }", "data_version": 5}', "data_version must be a text"),
        # Of a few megabytes, parsing it alone would take all memory.
        ('{"query": "{%s }"}' % (" version" * 12_500), "more than 100,000 characters"),
    ],
    ids=lambda value: value[:20],
)
def test_a_body_that_dagster_can_not_take_is_refused_in_a_line(port: int, path: str, body: str, told: str) -> None:
    response, text = ask(port, "POST", path, body, Content_Type="application/json")
    assert response.status == 400
    assert told in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
@pytest.mark.parametrize("path", ["/graphql", "/report_asset_materialization/external"])
def test_a_body_that_is_too_large_is_refused_in_a_line(port: int, path: str, declared: bool) -> None:
    def send(size: int) -> tuple[int, str]:
        body = QUERY.encode().ljust(size)
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        # Without a length it is sent in chunks.
        parts = (body[start : start + 100_000] for start in range(0, size, 100_000))
        connection.request("POST", path, body if declared else parts, JSON)
        response = connection.getresponse()
        return response.status, response.read().decode()

    assert 3 * MOST_BYTES < MOST_BODY_BYTES
    assert send(MOST_BODY_BYTES)[0] == 200
    status, text = send(MOST_BODY_BYTES + 1_000_000)
    assert status == 413
    assert "more than 20 MB" in text
    assert text.count("\n") == 1


def test_events_of_external_assets_are_reported_by_programs_and_by_no_page(port: int) -> None:
    path = "/report_asset_materialization/external?description=x"
    assert ask(port, "POST", path)[0].status == 200
    assert ask(port, "POST", path, Origin=EVIL)[0].status == 403
    assert ask(port, "POST", path, body="{}", Content_Type="text/plain")[0].status == 415


@pytest.mark.parametrize("path", ["/", "/runs", "/server_info", "/nothing.js"])
def test_pages_can_be_framed_by_nobody_and_keep_their_own_policy(port: int, path: str) -> None:
    response, _ = ask(port, "GET", path)
    policies = response.headers.get_all("Content-Security-Policy") or []
    assert "frame-ancestors 'none'" in policies
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert response.getheader("X-Frame-Options") == "DENY"
    assert response.getheader("Referrer-Policy")
    if path == "/":
        assert any("script-src" in policy for policy in policies)


def subscribe(port: int, host: str | None = None, origin: str | None = None) -> dict[str, str]:
    """Open a WebSocket as Dagster's pages do."""
    headers = {"Origin": origin} if origin else {}
    with connect(
        f"ws://{host or '127.0.0.1'}:{port}/graphql",
        sock=socket.create_connection(("127.0.0.1", port)),
        subprotocols=["graphql-ws"],  # type: ignore[list-item]
        additional_headers=headers,
    ) as connection:
        connection.send(json.dumps({"type": "connection_init"}))
        answer: dict[str, str] = json.loads(connection.recv(10))
        return answer


def test_a_websocket_opens_for_programs_and_dagsters_own_pages(port: int) -> None:
    assert subscribe(port) == {"type": "connection_ack"}
    assert subscribe(port, origin=f"http://127.0.0.1:{port}") == {"type": "connection_ack"}


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [(None, EVIL, 403), (None, "null", 403), ("evil.example", EVIL, 403), ("evil.example", None, 421)],
)
def test_a_websocket_of_a_foreign_page_is_refused(port: int, host: str | None, origin: str | None, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        subscribe(port, host, origin)
    assert refused.value.response.status_code == status


def test_a_websocket_ends_with_a_message_that_is_too_long(port: int) -> None:
    with connect(f"ws://127.0.0.1:{port}/graphql", subprotocols=["graphql-ws"]) as connection:  # type: ignore[list-item]
        connection.send(json.dumps({"type": "connection_init", "payload": "x" * 100_000}))
        with pytest.raises(ConnectionClosed):
            connection.recv(30)


def test_fields_of_one_name_are_not_compared_with_one_another(port: int) -> None:
    body = json.dumps({"query": "{ one: version one: __typename }"})
    response, text = ask(port, "POST", body=body, Content_Type="application/json")
    assert (response.status, json.loads(text)["data"].keys()) == (200, {"one"})


def test_the_command_line_goes_on_working(port: int) -> None:
    assert Webserver(f"http://127.0.0.1:{port}").query("{ version }")["version"]


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://Public.example:8443/dagster", "public.example"), ("http://[2001:DB8::5]:3000", "[2001:db8::5]")],
)
def test_more_hosts_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, url: str, host: str) -> None:
    monkeypatch.setenv("DAGSTER_ALLOWED_HOSTS", " a.example,*.b.example ,")
    monkeypatch.setenv("DAGSTER_PUBLIC_URL", url)
    assert allowed_hosts_from_environment()[4:] == ["a.example", "*.b.example", host]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DAGSTER_ALLOWED_HOSTS", "*"),
        ("DAGSTER_ALLOWED_HOSTS", "https://a.example"),
        ("DAGSTER_ALLOWED_HOSTS", "a.*.example"),
        ("DAGSTER_ALLOWED_HOSTS", "a.example:3000"),
        ("DAGSTER_PUBLIC_URL", "dagster.example.com"),
        ("DAGSTER_PUBLIC_URL", "https://[2001:db8::1"),
        ("DAGSTER_PUBLIC_URL", "https://*:8443"),
    ],
)
def test_hosts_that_cannot_be_meant_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.delenv("DAGSTER_PUBLIC_URL", raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(environment.SettingError, match=name):
        allowed_hosts_from_environment()
    # The UI comes up all the same, for this machine.
    assert allowed_hosts() == list(OWN_HOSTS)


def test_the_port_of_the_public_address_counts() -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "headers": [
            (b"host", b"gateway"),
            (b"origin", b"https://dagster.example.com:8443"),
            (b"content-type", b"application/json"),
        ],
    }

    async def nothing(*_: object) -> None: ...

    assert OwnPagesOnly(nothing, "https://dagster.example.com:8443").refusal(scope) is None
    assert OwnPagesOnly(nothing, "https://dagster.example.com").refusal(scope) is not None


@pytest.mark.parametrize("origin", ["null", "", "https://", "[", "dagster.example.com"])
@pytest.mark.parametrize("public_url", ["", "null", "dagster.example.com", "["])
def test_an_origin_that_is_none_is_not_ours_whatever_the_public_address(origin: str, public_url: str) -> None:
    headers = [(b"origin", origin.encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/graphql", "headers": headers}

    async def nothing(*_: object) -> None: ...

    assert OwnPagesOnly(nothing, public_url).refusal(scope) is not None
