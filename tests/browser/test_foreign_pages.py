"""What a web page that is not Langflow's own can do to someone who is logged in to Langflow."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from browser.conftest import WAIT_MILLISECONDS
from browser.test_langflow_pages import log_in
from harness.stack import Stack
from playwright.sync_api import Browser, Page, Request, Route, expect

ECHO = "da90a000-0000-4000-8000-000000000002"
PAGE = """<!doctype html><title>Foreign</title>
<form id="build" method="post" action="{langflow}/api/v1/build/{flow}/flow"></form>
<a id="link" href="{langflow}/flow/{flow}">a link</a>
"""
FRAME = """<!doctype html><title>Foreign</title><iframe src="{langflow}/flow/{flow}"></iframe>"""
FETCH = """
async ([url]) => {
  try { return (await fetch(url, {credentials: "include"})).status } catch (error) { return error.name }
}
"""


class Foreign(BaseHTTPRequestHandler):
    """Serves a page with the Langflow that its query names."""

    def do_GET(self) -> None:
        langflow = urlsplit(self.path).query
        body = FRAME if self.path.startswith("/frame") else PAGE
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body.format(langflow=langflow, flow=ECHO).encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture
def page(browser: Browser, stack: Stack, port: int) -> Iterator[Page]:
    """A page without cookies that reaches the foreign page, and Langflow, also under a name of its own."""
    langflow = urlsplit(stack.langflow_url).port
    hosts = {
        f"{host}:{number}" for host in ("127.0.0.1", "localhost", "langflow.localhost") for number in (port, langflow)
    }

    def stay_within(route: Route) -> None:
        if urlsplit(route.request.url).netloc in hosts:
            route.continue_()
        else:
            route.abort()

    context = browser.new_context()
    context.set_default_timeout(WAIT_MILLISECONDS)
    context.route("**/*", stay_within)
    yield context.new_page()
    context.close()


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
    assert page.evaluate(FETCH, [f"{stack.langflow_url}/api/v1/flows/"]) == "TypeError"
    assert post_form(page) in (401, 403)


def test_a_frame_on_another_site_has_no_login(page: Page, stack: Stack, port: int) -> None:
    page.goto(stack.langflow_url)
    log_in(page, stack)
    page.goto("about:blank")
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))
    page.goto(f"http://localhost:{port}/frame?{stack.langflow_url}", wait_until="networkidle")
    to_langflow = [request for request in requests if request.url.startswith(stack.langflow_url)]
    assert to_langflow
    assert [request.url for request in to_langflow if "access_token" in request.all_headers().get("cookie", "")] == []


def test_a_link_on_another_site_leads_someone_who_is_logged_in_to_the_flow(page: Page, stack: Stack, port: int) -> None:
    page.goto(stack.langflow_url)
    log_in(page, stack)
    page.goto(f"http://localhost:{port}/?{stack.langflow_url}")
    page.locator("#link").click()
    # The name of the flow, which only its owner sees; the nodes come later.
    expect(page.get_by_role("button", name="Edit flow details and settings for Echo")).to_be_visible()


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
