"""The example that the project comes with: reviews in, sentiments and a summary out."""

import csv
from typing import Any

import dagster as dg
import pytest
import yaml
from unit.batches.conftest import database, databases, fake, sends, stored
from unit.docs.test_examples import blocks
from unit.scripts.compose import ROOT

from dagma import project_definitions
from dagma.batches.tables_database import TablesDatabase
from dagma.testing import FakeAnswer, FakeCall, FakeLangflow

__all__ = ["database", "databases", "fake"]

JOB = "review_sentiments_job"
EXAMPLE = ROOT / "project/defs/example"
WITHOUT_TEXT = "7"
MISTAKEN = "Great value for the price."

pytestmark = pytest.mark.skipif(not EXAMPLE.is_dir(), reason="the example was deleted")


@pytest.fixture
def flow() -> Any:
    """A model that knows the label of each review, and takes one review for negative."""
    with (ROOT / "project/data/reviews.csv").open(encoding="utf-8", newline="") as file:
        labels = {row["text"]: row["label"] for row in csv.DictReader(file)}

    def answer(call: FakeCall) -> FakeAnswer:
        review = call.input_value.removeprefix("Review: ").partition("\n")[0]
        return FakeAnswer("negative" if review == MISTAKEN else f"It is {labels[review]}.", model="smollm2-135m")

    return answer


@pytest.fixture
def example(fake: FakeLangflow, flow: Any, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """The project as it is shipped, over a Langflow that has the flow of the example."""
    fake.add_flow("assistant", flow)
    monkeypatch.delenv("DAGMA_PROJECT_DIR", raising=False)
    return project_definitions.with_defaults(project_definitions.load_project())


def run(example: dg.Definitions, instance: dg.DagsterInstance) -> dict[str, dict[str, Any]]:
    """Run the job; return the metadata of each asset."""
    done = example.resolve_job_def(JOB).execute_in_process(instance=instance)
    assert done.success
    return {
        event.asset_key.to_user_string(): {
            name: entry.value for name, entry in event.step_materialization_data.materialization.metadata.items()
        }
        for event in done.get_asset_materialization_events()
        if event.asset_key
    }


def test_reviews_are_labelled_and_the_summary_tells_how_many_are_right(
    example: dg.Definitions, instance: dg.DagsterInstance, database: TablesDatabase, fake: FakeLangflow
) -> None:
    told = run(example, instance)
    assert told["product_reviews"]["dagster/row_count"] == 40
    assert told["sentiment_by_product"]["accuracy"] == pytest.approx(38 / 39)
    summary = [line.strip("| ").split() for line in told["sentiment_by_product"]["summary"].splitlines()]
    assert " ".join(summary[0]) == "product | positive | negative | failed | right"
    assert " ".join(summary[2]) == "kettle | 4 | 5 | 1 | 8"
    assert " ".join(summary[-1]) == "all | 20 | 19 | 1 | 38"
    rows = {row["id"]: row for row in stored(database, "review_sentiments", "id", "label", "sentiment", "error")}
    assert rows["2"] == {"id": "2", "label": "negative", "sentiment": "negative", "error": None}
    assert rows[WITHOUT_TEXT]["sentiment"] is None
    assert rows[WITHOUT_TEXT]["error"].endswith("there is no 'text', only id, product, label.")

    asked = len(sends(fake))
    again = run(example, instance)["review_sentiments"]
    assert (again["rows_unchanged"], again["rows_failed"], len(sends(fake))) == (39, 1, asked)


def test_it_is_one_group_with_owners_and_a_daily_schedule_that_is_off(example: dg.Definitions) -> None:
    specs = list(example.resolve_all_asset_specs())
    assert {spec.key.to_user_string(): spec.group_name for spec in specs} == dict.fromkeys(
        ("product_reviews", "review_sentiments", "sentiment_by_product"), "reviews"
    )
    assert all(spec.owners for spec in specs)
    schedule = example.resolve_schedule_def("review_sentiments_daily")
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.job_name, schedule.cron_schedule) == (JOB, "0 6 * * *")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def test_the_readme_shows_the_table_as_it_is_declared() -> None:
    shown = [yaml.safe_load(block) for block in blocks("README.md", "yaml") if "dagma.FlowTable" in block]
    assert shown == [yaml.safe_load((EXAMPLE / "review_sentiments/defs.yaml").read_text())]
