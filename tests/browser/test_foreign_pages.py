"""What a web page that is not Langflow's own can do to someone who is logged in to Langflow."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from browser.test_langflow_pages import log_in
from harness.stack import Stack
from playwright.sync_api import Page, Route, expect

ECHO = "da90a000-0000-4000-8000-000000000002"
PAGE = """<!doctype html><title>Foreign</title>
<form id="build" method="post" action="{langflow}/api/v1/build/{flow}/flow"></form>
<a id="link" href="{langflow}/flow/{flow}">a link</a>
<iframe src="{langflow}/flows" width="1000" height="600"></iframe>
"""
FETCH = """
async ([url]) => {
  try { return (await fetch(url, {credentials: "include"})).status } catch (error) { return error.name }
}
"""


class Foreign(BaseHTTPRequestHandler):
    """Serves a page with the Langflow that its query names."""

    def do_GET(self) -> None:
        langflow = urlsplit(self.path).query
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.format(langflow=langflow, flow=ECHO).encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture
def page(page: Page, stack: Stack, port: int) -> Page:
    """The page of the other tests, which also reaches the foreign page, and Langflow under a name of its own."""
    langflow = urlsplit(stack.langflow_url).port
    hosts = {
        f"{host}:{number}" for host in ("127.0.0.1", "localhost", "langflow.localhost") for number in (port, langflow)
    }

    def stay_within(route: Route) -> None:
        if urlsplit(route.request.url).netloc in hosts:
            route.continue_()
        else:
            route.abort()

    page.route("**/*", stay_within)
    return page


def post_form(page: Page) -> int:
    """Send the foreign page's form, which starts a run of a flow; return the answer's status."""
    with page.expect_navigation() as navigation:
        page.evaluate("document.getElementById('build').submit()")
    assert navigation.value is not None
    return navigation.value.status


def test_a_page_of_another_site_has_no_login_and_reads_nothing(page: Page, stack: Stack, port: int) -> None:
    page.goto(stack.langflow_url)
    log_in(page, stack)
    page.goto(f"http://localhost:{port}/?{stack.langflow_url}")
    expect(page.frame_locator("iframe").get_by_role("button", name="Sign In")).to_be_visible()
    assert page.evaluate(FETCH, [f"{stack.langflow_url}/api/v1/flows/"]) == "TypeError"
    assert post_form(page) in (401, 403)


def test_a_link_on_another_site_leads_someone_who_is_logged_in_to_the_canvas(
    page: Page, stack: Stack, port: int
) -> None:
    page.goto(stack.langflow_url)
    log_in(page, stack)
    page.goto(f"http://localhost:{port}/?{stack.langflow_url}")
    page.locator("#link").click()
    expect(page.get_by_test_id("rf__node-ChatInput-echo")).to_be_visible()


def test_a_page_on_another_port_of_the_same_host_reads_nothing_but_has_the_login(
    page: Page, stack: Stack, port: int
) -> None:
    """To a browser both are one site, whatever Langflow sets: docs/security.md says so, and what helps."""
    page.goto(stack.langflow_url)
    log_in(page, stack)
    page.goto(f"http://127.0.0.1:{port}/?{stack.langflow_url}")
    assert page.evaluate(FETCH, [f"{stack.langflow_url}/api/v1/flows/"]) == "TypeError"
    assert post_form(page) == 200


def test_a_name_of_its_own_keeps_the_login_from_other_ports(page: Page, stack: Stack, port: int) -> None:
    named = stack.langflow_url.replace("127.0.0.1", "langflow.localhost")
    page.goto(named)
    log_in(page, stack)
    expect(page.get_by_text("Assistant", exact=True)).to_be_visible()
    page.goto(f"http://127.0.0.1:{port}/?{named}")
    assert post_form(page) in (401, 403)
