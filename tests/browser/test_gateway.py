"""What people see of both UIs behind the gateway: one login at a provider, what a role may do, and the log-out."""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests
from browser.conftest import Picture, Watch
from harness.gateway import HOST, LOGIN_AT_PROVIDER, free_ports
from harness.oidc_provider import OidcProvider
from harness.stack import Stack, docker, in_bash
from playwright.sync_api import Page, WebSocket, expect

from dagma.cli.ask import ASSET, JOB
from dagma.principal_tag import PRINCIPAL_TAG

ECHO = "da90a000-0000-4000-8000-000000000002"
PEOPLE = {
    "anna": {"email": "anna@example.com", "groups": ["operators", "staff"]},
    "vic": {"email": "vic@example.com", "groups": ["staff"]},
}
ROLES = {"GATEWAY_ADMINS": "operators", "GATEWAY_VIEWERS": "staff"}
CONFIG = f'{{"ops": {{"{ASSET}": {{"config": {{"flow_id": "{ECHO}", "input_value": "of anna"}}}}}}}}'
REPLACED = ("dagster-webserver", "langflow")


@dataclass
class Gateway:
    """The gateway in front of the test stack, and where people log in."""

    dagster_url: str
    langflow_url: str
    provider: OidcProvider


@pytest.fixture(scope="module")
def gateway(stack: Stack, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The test stack behind the gateway, as GATEWAY=1 starts it; afterwards it is as it was."""
    if pytestconfig.getoption("--stack-env"):
        pytest.skip("it would replace containers of the stack that is up")
    ports, secret = free_ports(), secrets.token_hex(16)
    dagster_url = f"https://{HOST}:{ports['GATEWAY_PORT']}"
    langflow_url = f"https://{HOST}:{ports['GATEWAY_LANGFLOW_PORT']}"
    in_bash(f"export GATEWAY_OIDC_CLIENT_SECRET={secret}; write_secrets", stack.env_file.parent)
    covered = Stack(stack.env_file, "docker-compose.gateway.yml")
    with OidcProvider(tmp_path_factory.mktemp("provider"), secret, dagster_url) as provider:
        provider.know(PEOPLE)
        settings = {
            **{name: str(port) for name, port in ports.items()},
            **LOGIN_AT_PROVIDER,
            "GATEWAY_OIDC_ISSUER": provider.url,
            **ROLES,
            "GATEWAY_BIND": "127.0.0.1",
            "DAGMA_CA_BUNDLE": str(provider.authority),
            "DAGSTER_PUBLIC_URL": dagster_url,
            "LANGFLOW_PUBLIC_URL": langflow_url,
        }
        up = ("up", "--detach", "--no-build", "--no-deps", "--wait")
        try:
            covered.run(*up, "gateway", *REPLACED, env=settings)
            yield Gateway(dagster_url, langflow_url, provider)
        finally:
            covered.run("rm", "--stop", "--force", "--volumes", "gateway", env=settings)
            stack.run(*up, *REPLACED)
            project = stack.settings["COMPOSE_PROJECT_NAME"]
            docker(
                "network", "rm", *(f"{project}_{name}" for name in ("gateway", "gateway-dagster", "gateway-langflow"))
            )
            docker("volume", "rm", f"{project}_gateway-data")


@pytest.fixture
def page(watch: Watch, gateway: Gateway) -> Iterator[Page]:
    """A watched page of both UIs and the provider, whose authorities are the tests' own."""
    urls = (gateway.dagster_url, gateway.langflow_url, gateway.provider.url)
    with watch(*urls, ignore_https_errors=True) as page:
        yield page


def log_in(page: Page, name: str) -> None:
    page.get_by_placeholder("Enter any login").fill(name)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def test_one_login_opens_both_uis_launches_a_run_and_ends_at_both(
    page: Page, gateway: Gateway, picture: Picture
) -> None:
    sockets: list[WebSocket] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    playground = f"{gateway.dagster_url}/locations/dagma/jobs/{JOB}/playground"
    page.goto(playground)
    picture(page, "gateway-provider")
    log_in(page, "anna")
    expect(page).to_have_url(playground)
    expect(page.get_by_text("No errors")).to_be_visible()
    page.locator(".CodeMirror").first.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(CONFIG)
    expect(page.get_by_text("No errors")).to_be_visible()
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url("**/runs/*")
    expect(page.get_by_text("RUN_SUCCESS", exact=True)).to_be_visible()
    assert sockets, "the log was followed over a WebSocket"
    page.get_by_role("button", name="View tags and config").click()
    expect(page.get_by_text(f"{PRINCIPAL_TAG}: anna@example.com")).to_be_visible()
    picture(page, "gateway-run")

    page.goto(gateway.langflow_url)
    for flow in ("Assistant", "Echo"):
        expect(page.get_by_text(flow, exact=True)).to_be_visible()
    picture(page, "gateway-langflow")

    page.goto(f"{gateway.langflow_url}/logout")
    page.get_by_role("button", name="Yes, sign me out").click()
    expect(page.get_by_text("logged out")).to_be_visible()
    picture(page, "gateway-logged-out")
    for url in (gateway.dagster_url, gateway.langflow_url):
        page.goto(url)
        expect(page.get_by_placeholder("Enter any login")).to_be_visible()


def test_a_viewer_sees_both_uis_and_launches_nothing(page: Page, gateway: Gateway, picture: Picture) -> None:
    page.goto(f"{gateway.dagster_url}/assets/{ASSET}")
    log_in(page, "vic")
    expect(page.get_by_text("Sends one input to a Langflow flow and materializes the answer.")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Materialize"))).to_be_disabled()
    picture(page, "gateway-viewer")
    page.goto(gateway.langflow_url)
    expect(page.get_by_text("Welcome to Langflow")).to_be_visible()


def test_the_direct_ports_of_both_uis_are_closed(stack: Stack, gateway: Gateway) -> None:
    for url in (stack.dagster_url, stack.langflow_url):
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=10)
