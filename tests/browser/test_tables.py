"""What people see of a table that a flow answers: the example of the project, while it runs and after."""

import re

import pytest
from browser.conftest import Picture
from browser.test_dagster_pages import value_of
from harness.stack import Stack
from playwright.sync_api import Page, expect

from dagma.execution.webserver import Webserver

JOB = "review_sentiments_job"
SOURCE, TABLE, SUMMARY = "product_reviews", "review_sentiments", "sentiment_by_product"
# Forty calls of the local LLM, on a busy machine.
RUN_MILLISECONDS = 300_000.0
PROGRESS = re.compile(rf"{TABLE}: \d+ (of \d+ rows|rows asked)")
ERROR = re.compile(r"^The template of input can't be filled in: there is no 'text', only id, product, label\.$")


@pytest.fixture(scope="module")
def dagster(stack: Stack) -> Webserver:
    return Webserver(stack.dagster_url, location="project")


@pytest.fixture(scope="module")
def launched(dagster: Webserver) -> str:
    """A run of the example that goes on when the first test begins."""
    return dagster.launch(JOB, {}, tags={})


@pytest.fixture(scope="module")
def ended(dagster: Webserver, launched: str) -> str:
    """The same run, once it has succeeded."""
    *_, status = dagster.follow(launched)
    assert status == "SUCCESS", dagster.outcome(launched)
    return launched


def test_a_run_tells_how_far_it_is(page: Page, stack: Stack, launched: str, picture: Picture) -> None:
    page.goto(f"{stack.dagster_url}/runs/{launched}")
    page.get_by_placeholder("Filter…").fill("rows", timeout=RUN_MILLISECONDS)
    expect(page.get_by_text(PROGRESS).first).to_be_visible(timeout=RUN_MILLISECONDS)
    expect(page.get_by_text(re.compile(rf"{TABLE}: \d+ rows asked")).first).to_be_visible(timeout=RUN_MILLISECONDS)
    expect(page.get_by_text("Success", exact=True)).to_be_visible(timeout=RUN_MILLISECONDS)
    picture(page, "dagster-table-run")


def test_the_lineage_leads_from_the_reviews_through_the_table_to_the_summary(
    page: Page, stack: Stack, ended: str, picture: Picture
) -> None:
    page.goto(f"{stack.dagster_url}/assets/{TABLE}?view=lineage")
    for asset in (SOURCE, TABLE, SUMMARY):
        expect(page.locator("svg").get_by_text(asset, exact=True).first).to_be_visible()
    picture(page, "dagster-lineage")


def test_the_page_of_a_table_shows_its_first_rows_and_the_error_of_one_that_failed(
    page: Page, stack: Stack, ended: str, picture: Picture
) -> None:
    page.goto(f"{stack.dagster_url}/assets/{TABLE}")
    expect(page.get_by_text(f"The answers of the flow assistant to each row of {SOURCE}.")).to_be_visible()
    expect(page.get_by_text("Latest check results")).to_be_visible()
    page.get_by_placeholder("Filter metadata keys").fill("preview")
    for column in ("id", "product", "label", "sentiment", "error"):
        expect(page.locator("th").filter(has_text=re.compile(f"^{column}$"))).to_be_visible()
    # Of ten rows the ten labels that were given, and sentiments.
    labels = page.locator("td").filter(has_text=re.compile("^(positive|negative)$"))
    expect(labels.nth(10)).to_be_visible()
    error = page.locator("td").filter(has_text=ERROR)
    expect(error).to_be_visible()
    error.scroll_into_view_if_needed()
    picture(page, "dagster-table")


def test_the_check_of_a_table_counts_the_rows_that_failed(
    page: Page, stack: Stack, ended: str, picture: Picture
) -> None:
    page.goto(f"{stack.dagster_url}/assets/{TABLE}?view=checks")
    expect(page.get_by_text("Fails if rows of the table have no answer.").first).to_be_visible()
    expect(page.get_by_text(re.compile("TemplateFault: 1 row")).first).to_be_visible()
    picture(page, "dagster-table-check")


def test_the_summary_counts_the_sentiments_of_each_product(
    page: Page, stack: Stack, dagster: Webserver, ended: str, picture: Picture
) -> None:
    accuracy = dagster.outcome(ended).metadata["accuracy"]
    assert accuracy > 0.6, "the local LLM does better than that"
    page.goto(f"{stack.dagster_url}/assets/{SUMMARY}")
    expect(value_of(page, "accuracy")).to_contain_text(f"{accuracy:g}"[:4])
    for product in ("kettle", "desk lamp", "backpack", "headphones", "all"):
        expect(page.locator("td").filter(has_text=re.compile(f"^{product}$"))).to_be_visible()
    picture(page, "dagster-summary")
