"""Who asked stands on what was launched through the gateway, whatever the request says."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus
from graphql import GraphQLInputObjectType, GraphQLInputType, get_named_type
from unit.execution.gateway import ANNA, Gateway, gateway, launch, mutations

from dagma.principal_tag import PRINCIPAL_TAG

BERT = "bert@example.com"
FORGED = [{"key": PRINCIPAL_TAG, "value": "schedule:daily"}, {"key": "team", "value": "search"}]
RETRY = """
mutation Retry($params: ExecutionParams, $again: ReexecutionParams) {
  launchRunReexecution(executionParams: $params, reexecutionParams: $again) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
BACKFILL = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""
REEXECUTE_BACKFILL = """
mutation Again($params: ReexecutionParams!) {
  reexecutePartitionBackfill(reexecutionParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""


@pytest.fixture(scope="module")
def dagster(_empty_dagster_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(shutil.copytree(_empty_dagster_home, tmp_path_factory.mktemp("principals") / "home")) as behind:
        yield behind


def sent(dagster: Gateway, query: str, *, principal: str = ANNA, **variables: Any) -> Any:
    """Send a mutation for an editor, and give its result."""
    status, answer = dagster.ask("editor", query, principal=principal, variables=variables)
    assert status == 200, answer
    ((_name, result),) = answer["data"].items()
    return result


def tags_of_run(dagster: Gateway, run_id: str) -> dict[str, str]:
    run = dagster.instance.get_run_by_id(run_id)
    assert run is not None
    return dict(run.tags)


def backfilled(dagster: Gateway, principal: str = ANNA) -> str:
    params = {"assetSelection": [{"path": ["letters"]}], "partitionNames": ["a"], "tags": FORGED}
    backfill_id: str = sent(dagster, BACKFILL, principal=principal, params=params)["backfillId"]
    return backfill_id


def backfill_of(dagster: Gateway, backfill_id: str) -> Any:
    backfill = dagster.instance.get_backfill(backfill_id)
    assert backfill is not None
    return backfill


@pytest.mark.parametrize("tags", [[], FORGED, [*FORGED, {"key": PRINCIPAL_TAG, "value": "root"}], None])
def test_a_run_that_is_launched_has_the_principal_whatever_its_tags_say(dagster: Gateway, tags: Any) -> None:
    found = tags_of_run(dagster, launch(dagster, tags=tags))
    assert found[PRINCIPAL_TAG] == ANNA
    assert found.get("team") == ("search" if tags else None)


def test_tags_that_stand_in_the_document_do_not_count_either(dagster: Gateway) -> None:
    selector = 'selector: {repositoryLocationName: "code", repositoryName: "__repository__", jobName: "idle"}'
    tags = f'executionMetadata: {{tags: [{{key: "{PRINCIPAL_TAG}", value: "root"}}]}}'
    params = f"{{{selector}, {tags}}}"
    result = "{ ... on LaunchRunSuccess { run { runId } } }"
    one = sent(dagster, f"mutation {{ launchPipelineExecution(executionParams: {params}) {result} }}")
    many = sent(
        dagster,
        f"mutation {{ launchMultipleRuns(executionParamsList: [{params}, {params}]) "
        f"{{ ... on LaunchMultipleRunsResult {{ launchMultipleRunsResult {result} }} }} }}",
    )
    runs = [one, *many["launchMultipleRunsResult"]]
    assert [tags_of_run(dagster, run["run"]["runId"])[PRINCIPAL_TAG] for run in runs] == [ANNA] * 3


def test_a_principal_of_any_script_arrives_as_it_is(dagster: Gateway) -> None:
    assert tags_of_run(dagster, launch(dagster, principal="zoë@例え.jp"))[PRINCIPAL_TAG] == "zoë@例え.jp"


@pytest.mark.parametrize("extra", [{}, {"extraTags": FORGED}, {"extraTags": FORGED, "useParentRunTags": True}])
def test_a_run_that_is_executed_again_is_whose_who_did_that(dagster: Gateway, extra: dict[str, Any]) -> None:
    first = launch(dagster)
    run = dagster.instance.get_run_by_id(first)
    assert run is not None
    dagster.instance.report_run_failed(run)
    again = {"parentRunId": first, "strategy": "ALL_STEPS", **extra}
    found = tags_of_run(dagster, sent(dagster, RETRY, principal=BERT, again=again)["run"]["runId"])
    assert (found[PRINCIPAL_TAG], found["dagster/parent_run_id"]) == (BERT, first)
    assert tags_of_run(dagster, first)[PRINCIPAL_TAG] == ANNA


def test_a_backfill_has_the_principal_for_its_runs(dagster: Gateway) -> None:
    backfill = backfill_of(dagster, backfilled(dagster))
    assert (backfill.tags[PRINCIPAL_TAG], backfill.tags["team"]) == (ANNA, "search")


def test_a_backfill_that_is_executed_again_is_whose_who_did_that(dagster: Gateway) -> None:
    first = backfilled(dagster)
    dagster.instance.update_backfill(backfill_of(dagster, first).with_status(BulkActionStatus.COMPLETED_FAILED))
    params = {"parentRunId": first, "strategy": "ALL_STEPS", "extraTags": FORGED}
    second = sent(dagster, REEXECUTE_BACKFILL, principal=BERT, params=params)["backfillId"]
    assert backfill_of(dagster, second).tags[PRINCIPAL_TAG] == BERT
    assert backfill_of(dagster, first).tags[PRINCIPAL_TAG] == ANNA


@pytest.mark.parametrize(
    ("status", "principal"), [(BulkActionStatus.CANCELED, BERT), (BulkActionStatus.REQUESTED, ANNA)]
)
def test_a_backfill_that_has_ended_is_whose_who_resumes_it(
    dagster: Gateway, status: BulkActionStatus, principal: str
) -> None:
    first = backfilled(dagster)
    dagster.instance.update_backfill(backfill_of(dagster, first).with_status(status))
    query = "mutation Resume($id: String!) { resumePartitionBackfill(backfillId: $id) { __typename } }"
    assert sent(dagster, query, principal=BERT, id=first) == {"__typename": "ResumeBackfillSuccess"}
    assert backfill_of(dagster, first).tags[PRINCIPAL_TAG] == principal


def test_an_event_that_is_reported_tells_who_reported_it(dagster: Gateway) -> None:
    query = """
    mutation Report($params: ReportRunlessAssetEventsParams!) {
      reportRunlessAssetEvents(eventParams: $params) { __typename ... on PythonError { message } }
    }
    """
    params = {"eventType": "ASSET_MATERIALIZATION", "assetKey": {"path": ["letters"]}, "partitionKeys": ["a"]}
    assert sent(dagster, query, params=params)["__typename"] == "ReportRunlessAssetEventsSuccess"
    event = dagster.instance.get_latest_materialization_event(dg.AssetKey("letters"))
    assert event is not None
    assert event.asset_materialization is not None
    assert (event.asset_materialization.tags or {})["dagster/reporting_user"] == ANNA


def test_the_stacks_own_programs_say_themselves_who_asks(dagster: Gateway) -> None:
    run_id = launch(dagster, role=None, tags=[{"key": PRINCIPAL_TAG, "value": "cli:anna"}])
    assert tags_of_run(dagster, run_id)[PRINCIPAL_TAG] == "cli:anna"


def places_of_tags(of: GraphQLInputType, path: str) -> Iterator[str]:
    """Find where tags can be written into an argument."""
    named = get_named_type(of)
    if named.name == "ExecutionTag":
        yield path
    elif isinstance(named, GraphQLInputObjectType):
        for name, field in named.fields.items():
            yield from places_of_tags(field.type, f"{path}.{name}")


def test_there_is_no_other_way_to_write_tags() -> None:
    places = {
        place
        for field in mutations().fields.values()
        for name, argument in field.args.items()
        for place in places_of_tags(argument.type, name)
    }
    assert places == {
        "backfillParams.tags",
        "executionParams.executionMetadata.tags",
        "executionParamsList.executionMetadata.tags",
        "reexecutionParams.extraTags",
    }
