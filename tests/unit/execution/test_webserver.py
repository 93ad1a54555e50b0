from typing import Any

import pytest
from dagster_graphql.schema import create_schema
from graphql import parse, validate

from dagma.execution import webserver
from dagma.execution.webserver import LOCATION, LaunchRefusedError, Webserver, WebserverError

DOCUMENTS = [text for text in vars(webserver).values() if isinstance(text, str) and "($" in text] + [webserver.QUEUE]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: parse(document).definitions[-1].name.value)
def test_dagster_answers_what_is_asked(document: str) -> None:
    assert validate(create_schema().graphql_schema, parse(document)) == []


def webserver_that_refuses(monkeypatch: pytest.MonkeyPatch, location: dict[str, Any] | None) -> Webserver:
    def query(_: Webserver, document: str, **variables: Any) -> dict[str, Any]:
        if document == LOCATION:
            return {"workspaceLocationEntryOrError": {"__typename": "WorkspaceLocationEntry", **variables, **entry}}
        return {"launchRunReexecution": {"__typename": "PythonError", "message": "No steps needed to be retried."}}

    entry = {"locationOrLoadError": location}
    monkeypatch.setattr(Webserver, "query", query)
    return Webserver("http://dagster")


def test_a_retry_that_a_loaded_location_does_not_launch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    webserver = webserver_that_refuses(monkeypatch, {"__typename": "RepositoryLocation"})
    with pytest.raises(LaunchRefusedError, match="No steps needed"):
        webserver.retry("run-1", "FROM_FAILURE", {})


@pytest.mark.parametrize("location", [None, {"__typename": "PythonError", "message": "it is away", "causes": []}])
def test_a_retry_that_has_no_location_may_be_launched_later(
    monkeypatch: pytest.MonkeyPatch, location: dict[str, Any] | None
) -> None:
    with pytest.raises(WebserverError) as caught:
        webserver_that_refuses(monkeypatch, location).retry("run-1", "FROM_FAILURE", {})
    assert not isinstance(caught.value, LaunchRefusedError)
