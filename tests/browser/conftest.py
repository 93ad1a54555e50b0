"""A headless Chromium, pages that notice what goes wrong in them, and screenshots."""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from harness.chromium import FLAGS, find_chromium
from harness.stack import ROOT, Stack
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from dagma.cli.ask import ASSET, JOB
from dagma.execution.webserver import Outcome, Webserver

WAIT_MILLISECONDS = 30_000.0
FAILURES = ROOT / "test-results"
FAILED = pytest.StashKey[bool]()

Picture = Callable[[Page, str], None]
Ask = Callable[..., tuple[str, Outcome]]
Watch = Callable[..., AbstractContextManager[Page]]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium; its profile is a new folder, deleted at the end.

    Not for the whole session: Playwright keeps an event loop running, in which no other test could run its own.
    """
    path = find_chromium()
    expect.set_options(timeout=WAIT_MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(watch: Watch, stack: Stack) -> Iterator[Page]:
    """A watched page of both UIs."""
    with watch(stack.dagster_url, stack.langflow_url) as page:
        yield page


@pytest.fixture
def watch(browser: Browser, request: pytest.FixtureRequest) -> Watch:
    """Open a watched page of servers."""
    return partial(watched_page, browser, request)


@contextmanager
def watched_page(
    browser: Browser, request: pytest.FixtureRequest, *urls: str, ignore_https_errors: bool = False
) -> Iterator[Page]:
    """A page without cookies that reaches these servers and nothing else.

    The test fails on an exception that the page does not catch, and on an answer of 500 or above. The page of a failed
    test is kept as a picture in test-results/.
    """
    own = {urlsplit(url).netloc for url in urls}
    faults: list[str] = []

    def stay_within(route: Route) -> None:
        # Langflow's pages ask for fonts and for the number of its stars, elsewhere.
        if urlsplit(route.request.url).netloc in own:
            route.continue_()
        else:
            route.abort()

    context = browser.new_context(
        viewport={"width": 1440, "height": 900},
        locale="en-US",
        timezone_id="UTC",
        ignore_https_errors=ignore_https_errors,
    )
    context.set_default_timeout(WAIT_MILLISECONDS)
    context.route(re.compile("^https?://"), stay_within)
    # A bubble that Langflow shows a few seconds after the first visit of a canvas, in front of it.
    context.add_init_script("localStorage.setItem('langflow-assistant-discovered', 'true')")
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(f"exception on {page.url}: {error}"))
    page.on(
        "response",
        lambda response: faults.append(f"{response.status} for {response.url}") if response.status >= 500 else None,
    )
    yield page
    if request.node.stash.get(FAILED, False) or faults:
        FAILURES.mkdir(exist_ok=True)
        page.screenshot(path=FAILURES / f"{request.node.name}.png")
    # What the page still asks for while it is closed fails, and says nothing of the page.
    found = list(faults)
    context.close()
    assert found == []


@pytest.fixture(scope="session")
def picture(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Picture:
    """Save what a page shows, as PNG, in a temporary folder; or, once it has settled, in the folder of --pictures."""
    chosen = pytestconfig.getoption("--pictures")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)

    def save(page: Page, name: str) -> None:
        if chosen:
            settle(page)
        (folder / f"{name}.png").write_bytes(shoot(page))

    return save


def settle(page: Page, rounds: int = 12) -> None:
    """Wait until a page looks the same three times; a few rounds at most, since Dagster's pages have clocks."""
    page.wait_for_load_state("networkidle")
    looks = [shoot(page)]
    while len(looks) < 3 or (len(set(looks[-3:])) > 1 and len(looks) < rounds):
        page.wait_for_timeout(700)
        looks.append(shoot(page))


def shoot(page: Page) -> bytes:
    return page.screenshot(animations="disabled", caret="hide")


@pytest.fixture(scope="session")
def ask(stack: Stack) -> Ask:
    """Launch the asset's job with this config of its step, wait for its end, and return the run's id and outcome."""
    webserver = Webserver(stack.dagster_url)

    def run(**config: str) -> tuple[str, Outcome]:
        run_id = webserver.launch(JOB, {"ops": {ASSET: {"config": config}}}, tags={})
        for _ in webserver.follow(run_id):
            pass
        return run_id, webserver.outcome(run_id)

    return run
