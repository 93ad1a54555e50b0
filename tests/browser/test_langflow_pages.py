"""What people see in Langflow, and how they get there."""

import re
from collections.abc import Iterator

import pytest
import requests
from browser.conftest import Picture
from harness.stack import Stack
from playwright.sync_api import Page, expect

ASSISTANT = "da90a000-0000-4000-8000-000000000001"


def fill_in(page: Page, user: str, password: str) -> None:
    page.get_by_placeholder("Username").fill(user)
    page.get_by_placeholder("Password").fill(password)
    if sign_in(page) == 429:
        # Langflow lets an address try five times a minute, and other tests have.
        page.wait_for_timeout(60_000)
        assert sign_in(page) != 429


def sign_in(page: Page) -> int:
    """Send the form; return the status."""
    with page.expect_response("**/api/v1/login") as answered:
        page.get_by_role("button", name="Sign In").click()
    return answered.value.status


def log_in(page: Page, stack: Stack) -> None:
    fill_in(page, stack.settings["LANGFLOW_SUPERUSER"], stack.settings["LANGFLOW_SUPERUSER_PASSWORD"])
    # Not by `expect`, whose message would show the form and the password in it.
    page.wait_for_url(lambda url: "/login" not in url)


def test_login_refuses_a_wrong_password(page: Page, stack: Stack, picture: Picture) -> None:
    page.goto(stack.langflow_url)
    expect(page.get_by_role("button", name="Sign In")).to_be_visible()
    picture(page, "langflow-login")
    fill_in(page, stack.settings["LANGFLOW_SUPERUSER"], "not-the-password")
    expect(page.get_by_text("Incorrect username or password").first).to_be_visible()
    expect(page).to_have_url(re.compile("/login"))


def test_login_leads_to_the_flows_of_the_repository(page: Page, stack: Stack) -> None:
    page.goto(stack.langflow_url)
    log_in(page, stack)
    expect(page.get_by_text("Assistant", exact=True)).to_be_visible()
    expect(page.get_by_text("Echo", exact=True)).to_be_visible()


def test_the_link_of_a_materialization_leads_through_the_login_to_the_canvas(
    page: Page, stack: Stack, picture: Picture
) -> None:
    page.goto(f"{stack.langflow_url}/flow/{ASSISTANT}")
    log_in(page, stack)
    expect(page).to_have_url(f"{stack.langflow_url}/flow/{ASSISTANT}")
    for node in ("ChatInput", "LanguageModel", "ChatOutput"):
        expect(page.get_by_test_id(f"rf__node-{node}-assistant")).to_be_visible()
    expect(page.locator(".react-flow__edge")).to_have_count(2)
    # The model's name, which Langflow shows once it knows the provider; without one it says "Setup Provider".
    expect(page.get_by_test_id("rf__node-LanguageModel-assistant")).to_contain_text(stack.settings["LLM_MODEL"])
    picture(page, "langflow-canvas")


@pytest.fixture
def new_flow(page: Page, stack: Stack) -> Iterator[Page]:
    """What "New Flow" opens; the flow is deleted afterwards."""
    page.goto(stack.langflow_url)
    log_in(page, stack)
    # Until it has read what this server offers, the page takes everything for offered.
    with page.expect_response("**/api/v1/config"):
        page.reload()
    page.get_by_role("button", name="New Flow").click()
    expect(page.get_by_test_id("flow-builder-welcome")).to_be_visible()
    flow_id = page.url.split("/flow/")[1].split("/")[0]
    yield page
    key = {"x-api-key": stack.settings["LANGFLOW_API_KEY"]}
    requests.delete(f"{stack.langflow_url}/api/v1/flows/{flow_id}", headers=key, timeout=30).raise_for_status()


def test_a_new_flow_starts_from_a_template(new_flow: Page) -> None:
    new_flow.get_by_test_id("flow-builder-welcome-template-simple-agent").click()
    expect(new_flow.locator("[data-testid^='rf__node-Agent']")).to_be_visible()


def test_describe_your_flow_names_the_variable_that_switches_the_assistant_on(new_flow: Page) -> None:
    new_flow.get_by_test_id("flow-builder-welcome-textarea").fill("A flow that answers a question")
    new_flow.get_by_test_id("flow-builder-welcome-send-button").click()
    expect(new_flow.get_by_text("LANGFLOW_AGENTIC_EXPERIENCE=true")).to_be_visible()
