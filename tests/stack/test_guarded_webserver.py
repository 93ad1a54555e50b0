"""What a web page in somebody's browser can't make Dagster do, tried on the published port."""

import json
import socket
from urllib.parse import urlencode

import pytest
import requests
from harness.stack import Stack
from stack.conftest import ASSET, JOB, Dagster
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

EVIL = "http://evil.example"
LAUNCH = """
mutation {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "dagma", repositoryName: "__repository__", pipelineName: "%s"},
    runConfigData: "{ops: {%s: {config: {flow_id: echo}}}}"
  }) { __typename }
}
""" % (JOB, ASSET)  # noqa: UP031 (braces are GraphQL's)
BODY = json.dumps({"query": LAUNCH})
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {**JSON, "Origin": EVIL}, 403),
        ("POST", {**JSON, "Origin": "null"}, 403),
        ("POST", {**JSON, "Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", {**JSON, "Host": "evil.example:13000", "Origin": "http://evil.example:13000"}, 421),
        ("POST", {"Content-Type": "text/plain"}, 415),
        ("POST", {"Content-Type": "application/graphql"}, 415),
        ("GET", {}, 405),
        ("GET", {"Origin": EVIL, "Host": "evil.example"}, 405),
    ],
)
def test_a_page_of_another_site_launches_no_run(
    stack: Stack, dagster: Dagster, method: str, headers: dict[str, str], status: int
) -> None:
    before = {run["runId"] for run in dagster.runs()}
    query = "?" + urlencode({"query": LAUNCH}) if method == "GET" else ""
    answer = requests.request(
        method, f"{stack.dagster_url}/graphql{query}", data=None if query else BODY, headers=headers, timeout=30
    )
    assert answer.status_code == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {run["runId"] for run in dagster.runs()} == before


@pytest.mark.parametrize(("host", "origin", "status"), [(None, EVIL, 403), ("evil.example", None, 421)])
def test_a_page_of_another_site_opens_no_websocket(
    stack: Stack, host: str | None, origin: str | None, status: int
) -> None:
    port = int(stack.settings["DAGSTER_PORT"])
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(
            f"ws://{host or '127.0.0.1'}:{port}/graphql",
            sock=socket.create_connection(("127.0.0.1", port)),
            additional_headers={"Origin": origin} if origin else {},
        ),
    ):
        pass
    assert refused.value.response.status_code == status


def test_a_wrong_host_is_told_which_setting_lets_it_in(stack: Stack) -> None:
    answer = requests.get(stack.dagster_url, headers={"Host": "dagster.corp"}, timeout=30)
    assert (answer.status_code, "DAGSTER_ALLOWED_HOSTS" in answer.text) == (421, True)


def test_no_page_frames_dagster(stack: Stack) -> None:
    answer = requests.get(stack.dagster_url, timeout=30)
    assert answer.status_code == 200
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_the_stack_asks_its_webserver_by_its_own_name(stack: Stack) -> None:
    said = stack.exec("user-code", "dagma", "ask", "--flow", "echo", "hello from inside")
    assert "hello from inside" in said
