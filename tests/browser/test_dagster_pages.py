"""What people see in Dagster."""

import re

import pytest
from browser.conftest import Ask, Picture
from harness.stack import Stack
from playwright.sync_api import Locator, Page, WebSocket, expect

from dagma.cli.ask import ASSET, JOB
from dagma.execution.webserver import Outcome

ASSISTANT = "da90a000-0000-4000-8000-000000000001"
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def answered(ask: Ask) -> tuple[str, Outcome]:
    """A run with an answer, and its outcome."""
    run_id, outcome = ask(input_value=QUESTION)
    assert outcome.status == "SUCCESS", outcome.failure
    return run_id, outcome


def value_of(page: Page, label: str) -> Locator:
    """The row of a table with this label."""
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=label, exact=True))


def test_the_asset_page_shows_the_answer_and_links_to_the_flow(
    page: Page, stack: Stack, answered: tuple[str, Outcome], picture: Picture
) -> None:
    _, outcome = answered
    page.goto(f"{stack.dagster_url}/assets/{ASSET}")
    expect(page.get_by_text("Sends one input to a Langflow flow and materializes the answer.")).to_be_visible()
    expect(value_of(page, "answer")).to_contain_text(outcome.metadata["answer"])
    link = value_of(page, "flow_url").get_by_role("link")
    expect(link.first).to_have_attribute("href", f"{stack.langflow_url}/flow/{ASSISTANT}")
    expect(page.get_by_text("At 02:00 AM UTC")).to_be_visible()
    picture(page, "dagster-asset")


def test_a_materialization_shows_flow_answer_tokens_duration_and_session(
    page: Page, stack: Stack, answered: tuple[str, Outcome], picture: Picture
) -> None:
    run_id, outcome = answered
    page.goto(f"{stack.dagster_url}/assets/{ASSET}?view=events")
    expect(page.get_by_text(f"Materialized in run {run_id[:8]}")).to_be_visible()
    for label in (
        "flow_id",
        "flow_name",
        "input",
        "answer",
        "cost_usd",
        "duration_seconds",
        "total_tokens",
        "model",
        "session_id",
    ):
        expect(value_of(page, label)).to_contain_text(str(outcome.metadata[label]))
    picture(page, "dagster-answer")


def test_a_run_page_shows_its_log(page: Page, stack: Stack, answered: tuple[str, Outcome], picture: Picture) -> None:
    run_id, _ = answered
    page.goto(f"{stack.dagster_url}/runs/{run_id}")
    expect(page.get_by_text("Success", exact=True)).to_be_visible()
    expect(page.get_by_text("RUN_SUCCESS", exact=True)).to_be_visible()
    picture(page, "dagster-run")
    page.get_by_placeholder("Filter…").fill("summary=")
    expect(page.get_by_text(re.compile(r"langflow_run_flow summary=\['\w+'"))).to_be_visible()


def test_the_schedule_page_shows_the_daily_schedule_running(page: Page, stack: Stack, picture: Picture) -> None:
    page.goto(f"{stack.dagster_url}/locations/dagma/schedules/run_langflow_daily")
    expect(page.get_by_text("Sends the default input to the default flow.")).to_be_visible()
    expect(page.get_by_text("0 2 * * *")).to_be_visible()
    expect(value_of(page, "Running").get_by_role("checkbox")).to_be_checked()
    expect(value_of(page, "Next tick")).to_contain_text("2:00:00 AM UTC")
    picture(page, "dagster-schedule")


def test_the_launchpad_launches_a_run_and_offers_no_resource(page: Page, stack: Stack, picture: Picture) -> None:
    refused: list[str] = []
    page.on("response", lambda each: refused.append(f"{each.status} {each.url}") if each.status >= 400 else None)
    sockets: list[WebSocket] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    page.goto(f"{stack.dagster_url}/locations/dagma/jobs/{JOB}/playground")
    expect(page.get_by_text("ping from dagma")).to_be_visible()
    expect(page.get_by_text("No errors")).to_be_visible()
    editor = page.locator(".CodeMirror").first
    expect(editor).to_contain_text("input_value")
    for setting in ("resources", "base_url", "api_key"):
        expect(editor).not_to_contain_text(setting)
    assert stack.settings["LANGFLOW_API_KEY"] not in page.content()
    picture(page, "dagster-launchpad")

    # The mutation by POST, the run's log by WebSocket: the guard lets Dagster's own pages do both.
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url("**/runs/*")
    expect(page.get_by_text("RUN_SUCCESS", exact=True)).to_be_visible()
    assert sockets, "the log was followed over a WebSocket"
    assert refused == []


def test_a_page_under_another_host_says_which_setting_to_change(page: Page, stack: Stack) -> None:
    # A name below localhost leads to this machine, and is none that Dagster knows.
    page.route("**/*", lambda route: route.continue_())
    response = page.goto(stack.dagster_url.replace("127.0.0.1", "dagster.localhost") + "/runs")
    assert response is not None
    assert response.status == 421
    expect(page.get_by_text("DAGSTER_ALLOWED_HOSTS")).to_be_visible()


def test_a_failed_run_shows_cause_and_fix(page: Page, stack: Stack, ask: Ask, picture: Picture) -> None:
    run_id, outcome = ask(input_value=QUESTION, flow_id="no-such-flow")
    assert outcome.status == "FAILURE"
    page.goto(f"{stack.dagster_url}/runs/{run_id}")
    expect(page.get_by_text("Failure", exact=True)).to_be_visible()
    page.get_by_placeholder("Filter…").fill("type:STEP_FAILURE")
    expect(page.get_by_text(re.compile("FlowNotFound: .*no-such-flow")).first).to_be_visible()
    expect(page.get_by_text("Check the flow's id or endpoint name").first).to_be_visible()
    picture(page, "dagster-failure")
