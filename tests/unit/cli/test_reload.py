"""`dagma reload`."""

import pytest
from unit.cli.fake_dagster import FakeDagster

from dagma.cli import main


def test_the_project_is_loaded_anew(dagster: FakeDagster) -> None:
    assert main(["reload"]) == 0
    reloads = [query["variables"]["name"] for query in dagster.queries if "mutation Reload" in query["query"]]
    assert reloads == ["project"]


def test_what_does_not_load_is_told_and_the_others_are_loaded(
    dagster: FakeDagster, capsys: pytest.CaptureFixture[str]
) -> None:
    cause = {"message": "NameError: name 'x' is not defined"}
    dagster.location = {"__typename": "PythonError", "message": "Error occurred", "causes": [cause]}
    assert main(["reload", "project", "dagma"]) == 1
    said = capsys.readouterr().err
    assert "'project' does not load: NameError: name 'x' is not defined" in said
    assert "'dagma' does not load" in said
