import getpass
from typing import Any

import pytest
from unit.cli.fake_dagster import MOST_EVENTS, RUN_ID, FakeDagster

from dagma.cli import main

TABLE = "| product | right |\n| --- | --- |\n| kettle | 9 |"
SUMMARY = {
    "metadataEntries": [
        {"label": "accuracy", "floatValue": 0.94871},
        {"label": "summary", "mdStr": TABLE},
        {"label": "rows", "jsonString": "[1, 2]"},
    ]
}
FAILED_STEP = {
    "__typename": "ExecutionStepFailureEvent",
    "message": "failed",
    "error": {"message": "dagster.Failure: BatchStopped"},
    "failureMetadata": {"metadataEntries": [{"label": "cause", "text": "3 rows have failed."}]},
}


def launched(dagster: FakeDagster) -> dict[str, Any]:
    params: dict[str, Any] = dagster.queries[0]["variables"]["params"]
    return params


def test_a_job_of_the_project_is_run_and_what_its_last_asset_shows_is_printed(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str]
) -> None:
    dagster.materializations = [{"metadataEntries": [{"label": "rows_asked", "intValue": 40}]}, SUMMARY]
    assert main(["run", "reviews_job"]) == 0
    selector = launched(dagster)["selector"]
    assert (selector["repositoryLocationName"], selector["jobName"]) == ("project", "reviews_job")
    tags = launched(dagster)["executionMetadata"]["tags"]
    assert tags == [{"key": "dagma/principal", "value": f"cli:{getpass.getuser()}"}]
    where, table, figures = capsys.readouterr().out.split("\n\n")
    assert where == f"reviews_job runs: http://dagster.example/runs/{RUN_ID}"
    assert table == TABLE
    assert figures.splitlines()[0] == "  accuracy  0.9487"
    assert figures.splitlines()[1].startswith("  seconds   ")


def test_a_job_of_another_code_location_is_run(dagster: FakeDagster) -> None:
    assert main(["run", "prune_job", "--location", "dagma"]) == 0
    assert launched(dagster)["selector"]["repositoryLocationName"] == "dagma"


def test_pruning_by_hand_runs_the_job_of_the_schedule(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.materializations = []
    assert main(["prune"]) == 0
    selector = launched(dagster)["selector"]
    assert (selector["repositoryLocationName"], selector["jobName"]) == ("dagma", "prune")
    assert f"prune runs: http://dagster.example/runs/{RUN_ID}" in capsys.readouterr().out


def test_a_run_whose_second_step_fails_says_why(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.statuses = ["FAILURE"]
    dagster.events = [FAILED_STEP]
    assert main(["run", "reviews_job"]) == 1
    assert "The run ended as FAILURE. 3 rows have failed." in capsys.readouterr().out


def test_the_cause_is_found_behind_a_thousand_events(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.statuses = ["FAILURE"]
    dagster.events = [{"__typename": "LogMessageEvent", "message": "a row was asked"}] * MOST_EVENTS + [FAILED_STEP]
    assert main(["run", "reviews_job"]) == 1
    assert "The run ended as FAILURE. 3 rows have failed." in capsys.readouterr().out


def test_a_run_that_ends_as_the_wait_does_has_ended(dagster: FakeDagster) -> None:
    dagster.statuses = ["SUCCESS"]
    assert main(["run", "reviews_job", "--wait", "1e-9"]) == 0


def test_a_run_that_goes_on_is_left_after_the_wait(dagster: FakeDagster, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.statuses = ["STARTED"]
    assert main(["run", "reviews_job", "--wait", "0.1"]) == 1
    assert f"The run continues: http://dagster.example/runs/{RUN_ID}" in capsys.readouterr().err
