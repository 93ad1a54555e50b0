"""The gateway with a login at a certified OpenID Connect provider: the way there and back, its end, its failure."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from harness.gateway import COOKIE, LOGIN_AT_PROVIDER, SECRETS, Gateway, gateway, headers_of
from harness.oidc_provider import submit

ROLES = {"GATEWAY_ADMINS": "ops,root@example.com", "GATEWAY_VIEWERS": "*"}
NAME = "4711"
ANNA = {"email": "anna@example.com", "groups": ["ops", "staff"]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("provider"), **LOGIN_AT_PROVIDER, **ROLES) as running:
        yield running


class Browser(requests.Session):
    """A browser that trusts the gateway's authority, and the provider's."""

    def __init__(self, running: Gateway) -> None:
        super().__init__()
        self.headers.update(running.browser().headers)
        self.trust_env = False
        self.provider = running.provider
        trusted = running.folder / "trusted.pem"
        trusted.write_text(running.authority.read_text() + running.provider.authority.read_text())
        self.verify = str(trusted)

    def answer_of_provider(self, url: str) -> str:
        """Log in on the way to a page; return the address at the gateway to which the provider leads then."""
        return self.provider.answer(self, url, NAME)

    def log_in(self, url: str) -> requests.Response:
        """Log in on the way to a page; return it."""
        return self.get(self.answer_of_provider(url))


@pytest.fixture
def browser(running: Gateway) -> Browser:
    running.provider.know({NAME: ANNA})
    return Browser(running)


def role_of(answer: requests.Response) -> str:
    return dict(headers_of(answer, "x-dagma-"))["x-dagma-role"]


def is_nobody(running: Gateway, browser: requests.Session) -> bool:
    """Whether a browser is sent to the login."""
    answer = browser.get(running.dagster_url + "/", allow_redirects=False)
    return answer.status_code == 302 and answer.headers["Location"].startswith(running.provider.url)


def test_a_login_leads_back_to_the_page_that_was_asked_for(running: Gateway, browser: Browser) -> None:
    told = browser.log_in(running.dagster_url + "/runs?status=failed")
    assert told.json()["asked"] == "GET /runs?status=failed"
    assert headers_of(told, "x-dagma-") == [
        ("x-dagma-gateway", SECRETS["DAGMA_GATEWAY_SECRET"]),
        ("x-dagma-principal", "anna@example.com"),
        ("x-dagma-role", "admin"),
    ]
    # The same login opens the other UI.
    other = browser.get(running.langflow_url + "/flows", allow_redirects=False)
    assert ("x-dagma-login", f"{SECRETS['LANGFLOW_GATEWAY_SECRET']} admin anna@example.com") in headers_of(
        other, "x-dagma-"
    )


def test_a_login_begun_at_langflow_leads_back_there(running: Gateway, browser: Browser) -> None:
    told = browser.log_in(running.langflow_url + "/flow/x")
    assert told.url == running.langflow_url + "/flow/x"
    assert told.json()["asked"] == "GET /flow/x"


def test_the_way_to_the_provider_is_the_code_flow_with_pkce(running: Gateway, browser: Browser) -> None:
    way = urlsplit(browser.get(running.langflow_url + "/", allow_redirects=False).headers["Location"])
    query = {name: values[0] for name, values in parse_qs(way.query).items()}
    assert f"{way.scheme}://{way.netloc}{way.path}" == f"{running.provider.url}/auth"
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    assert query["redirect_uri"] == running.dagster_url + "/gateway/callback"
    assert {"state", "nonce", "code_challenge"} <= query.keys()
    program = browser.get(running.dagster_url + "/graphql", headers={"Sec-Fetch-Mode": "cors"}, allow_redirects=False)
    assert program.status_code == 401


@pytest.mark.parametrize(
    ("person", "principal", "role"),
    [
        ({"email": "anna@example.com", "groups": ["staff"]}, "anna@example.com", "viewer"),
        ({"email": "Root@Example.com"}, "Root@Example.com", "admin"),
        ({"email": "root@example.com", "email_verified": True}, "root@example.com", "admin"),
        ({"email": "root@example.com", "email_verified": False}, "4711", "viewer"),
        ({"groups": "ops"}, "4711", "admin"),
        ({"groups": ["op", "s", "opsx", 'x","ops', "x,ops", "ops\n"]}, "4711", "viewer"),
        ({"email": "a b@example.com", "groups": []}, "4711", "viewer"),
        ({"preferred_username": "root@example.com", "name": "ops"}, "4711", "viewer"),
    ],
)
def test_what_the_provider_says_is_the_role(
    running: Gateway, browser: Browser, person: dict[str, object], principal: str, role: str
) -> None:
    running.provider.know({NAME: person})
    told = browser.log_in(running.dagster_url + "/")
    assert (dict(headers_of(told, "x-dagma-"))["x-dagma-principal"], role_of(told)) == (principal, role)


def test_the_cookies_are_for_this_host_over_tls_and_for_no_script(running: Gateway, browser: Browser) -> None:
    begun = browser.get(running.dagster_url + "/", allow_redirects=False)
    ended = browser.get(browser.answer_of_provider(begun.headers["Location"]), allow_redirects=False)
    for header in (begun.headers["Set-Cookie"], ended.headers["Set-Cookie"]):
        for cookie in header.split(", __Host"):
            if "1970" in cookie:  # it is deleted
                continue
            name, *attributes = cookie.lower().replace(" ", "").split(";")
            assert "dagma_" in name
            assert {"path=/", "secure", "httponly", "samesite=lax"} <= set(attributes), cookie
    told = browser.get(running.langflow_url + "/flows")
    assert "__Host-dagma" not in dict(headers_of(told, "cookie")).get("cookie", "")


def test_an_answer_of_the_provider_opens_the_browser_that_asked_and_no_other(
    running: Gateway, browser: Browser
) -> None:
    answer = browser.answer_of_provider(running.dagster_url + "/")
    other = Browser(running)
    other.get(answer, allow_redirects=False)
    assert is_nobody(running, other)
    # Now it has a login under way itself.
    other.get(answer, allow_redirects=False)
    assert COOKIE not in other.cookies
    assert browser.get(answer).json()["asked"] == "GET /"


def test_an_answer_of_the_provider_with_another_state_opens_nothing(running: Gateway, browser: Browser) -> None:
    answer = browser.answer_of_provider(running.dagster_url + "/")
    browser.get(re.sub(r"(?<=[?&]state=)[^&]+", "another", answer), allow_redirects=False)
    assert COOKIE not in browser.cookies
    assert is_nobody(running, browser)


def test_an_answer_of_the_provider_opens_nothing_a_second_time(running: Gateway, browser: Browser) -> None:
    answer = browser.answer_of_provider(running.dagster_url + "/")
    thief = Browser(running)
    thief.cookies.update(browser.cookies)
    browser.get(answer)
    thief.get(answer, allow_redirects=False)
    assert COOKIE not in thief.cookies
    assert is_nobody(running, thief)


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "https://localhost.evil.example/"])
@pytest.mark.parametrize("name", ["logout", "target_link_uri", "refresh"])
def test_the_callback_leads_nowhere_else(running: Gateway, browser: Browser, name: str, target: str) -> None:
    browser.log_in(running.dagster_url + "/")
    query = {name: target, "iss": running.provider.url, "access_token": "x"}
    answer = browser.get(running.dagster_url + "/gateway/callback", params=query, allow_redirects=False)
    assert "evil.example/" not in answer.headers.get("Location", "").split("?")[0]
    assert "post_logout_redirect_uri=https%3A%2F%2Fevil" not in answer.headers.get("Location", "")


def test_log_out_ends_the_session_at_both_uis_and_at_the_provider(running: Gateway, browser: Browser) -> None:
    browser.log_in(running.dagster_url + "/")
    copy = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    assert Browser(running).get(running.langflow_url + "/", headers=copy, allow_redirects=False).status_code == 200
    asks = browser.get(running.langflow_url + "/logout")
    assert asks.url.startswith(running.provider.url)
    for url in (running.dagster_url, running.langflow_url):
        assert Browser(running).get(url + "/", headers=copy, allow_redirects=False).status_code == 302
    ended = submit(browser, asks, logout="yes")
    assert ended.url == running.dagster_url + "/gateway/logged-out.html"
    assert "logged out" in ended.text
    assert 'name="login"' in browser.get(running.dagster_url + "/").text, "the provider asks who it is again"


def test_while_the_provider_is_down_who_is_logged_in_works_on_and_a_login_fails(
    running: Gateway, browser: Browser
) -> None:
    browser.log_in(running.dagster_url + "/")
    late = Browser(running)
    answer = late.answer_of_provider(running.dagster_url + "/")
    running.provider.stop()
    try:
        running.restart()
        browser.close()
        assert browser.get(running.dagster_url + "/runs").json()["asked"] == "GET /runs"
        failed = late.get(answer)
        assert (failed.status_code, COOKIE in late.cookies) == (400, False)
        assert "login provider" in failed.text
    finally:
        running.provider.start()
