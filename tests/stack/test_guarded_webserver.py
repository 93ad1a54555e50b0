"""The webserver of the shipped stack is the guarded one; tests/unit/execution shows what the guard refuses, and how."""

import json

import requests
from harness.stack import Stack
from stack.conftest import ASSET, JOB, Dagster

LAUNCH = """
mutation {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "dagma", repositoryName: "__repository__", pipelineName: "%s"},
    runConfigData: "{ops: {%s: {config: {flow_id: echo}}}}"
  }) { __typename }
}
""" % (JOB, ASSET)  # noqa: UP031 (braces are GraphQL's)


def test_a_page_of_another_site_launches_no_run(stack: Stack, dagster: Dagster) -> None:
    before = {run["runId"] for run in dagster.runs()}
    answer = requests.post(
        f"{stack.dagster_url}/graphql",
        data=json.dumps({"query": LAUNCH}),
        headers={"Content-Type": "application/json", "Origin": "http://evil.example"},
        timeout=30,
    )
    assert answer.status_code == 403
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {run["runId"] for run in dagster.runs()} == before
