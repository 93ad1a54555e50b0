"""What whoever may launch runs can't reach through a run's config, tried over GraphQL as by the launchpad."""

from typing import Any

import pytest
from stack.conftest import ASSET, BEHAVE_COMPONENT, JOB, Dagster

ASSET_JOB = "__ASSET_JOB"
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
  }
}
"""
REEXECUTE = LAUNCH.replace("launchRun(", "launchRunReexecution(")
TYPES = """
query Types($selector: PipelineSelector!) {
  runConfigSchemaOrError(selector: $selector) {
    __typename
    ... on RunConfigSchema { rootDefaultYaml allConfigTypes { key } }
  }
}
"""
READS_THE_ENVIRONMENT = {"ops": {ASSET: {"config": {"input_value": {"env": "DAGSTER_PG_HOST"}}}}}
SENDS_THE_KEY_ELSEWHERE = {
    "resources": {"backend": {"config": {"base_url": "http://llm:8080", "api_key": {"env": "CELERY_BROKER_URL"}}}}
}
CHOOSES_THE_FOLDER = {"resources": {"io_manager": {"config": {"base_dir": {"env": "DAGSTER_PG_HOST"}}}}}


def selector(job: str) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "repositoryLocationName": "dagma",
        "repositoryName": "__repository__",
        "pipelineName": job,
    }
    return chosen | ({"assetSelection": [{"path": [ASSET]}]} if job == ASSET_JOB else {})


@pytest.mark.parametrize("job", [JOB, ASSET_JOB])
@pytest.mark.parametrize("config", [READS_THE_ENVIRONMENT, SENDS_THE_KEY_ELSEWHERE, CHOOSES_THE_FOLDER])
def test_an_attack_by_a_runs_config_is_refused_before_a_run_exists(
    dagster: Dagster, job: str, config: dict[str, Any]
) -> None:
    before = {run["runId"] for run in dagster.runs()}
    params = {"selector": selector(job), "runConfigData": config}
    answer = dagster.webserver.query(LAUNCH, params=params)["launchRun"]
    assert answer["__typename"] == "RunConfigValidationInvalid"
    assert {run["runId"] for run in dagster.runs()} == before


def test_a_run_is_not_executed_again_with_another_config(dagster: Dagster) -> None:
    first = dagster.launch(input_value="hi", flow_id="echo")
    assert dagster.finish(first).status == "SUCCESS"
    before = {run["runId"] for run in dagster.runs()}
    for config in (READS_THE_ENVIRONMENT, SENDS_THE_KEY_ELSEWHERE):
        params = {
            "selector": selector(JOB),
            "runConfigData": config,
            "executionMetadata": {"rootRunId": first, "parentRunId": first},
        }
        answer = dagster.webserver.query(REEXECUTE, params=params)["launchRunReexecution"]
        assert answer["__typename"] == "RunConfigValidationInvalid"
    assert {run["runId"] for run in dagster.runs()} == before


@pytest.mark.parametrize("job", [JOB, ASSET_JOB])
def test_the_launchpad_offers_no_source_and_no_resource(dagster: Dagster, job: str) -> None:
    schema = dagster.webserver.query(TYPES, selector=selector(job))["runConfigSchemaOrError"]
    assert [each["key"] for each in schema["allConfigTypes"] if "Source" in each["key"]] == []
    assert "base_url" not in schema["rootDefaultYaml"]


def test_tweaks_of_a_run_set_what_a_flow_is_asked_and_not_where_it_leads(dagster: Dagster, behave: str) -> None:
    outcome = dagster.ask(input_value="ab", flow_id=behave, mode="direct", tweaks={BEHAVE_COMPONENT: {"repeat": 2}})
    assert (outcome.status, outcome.metadata["answer"]) == ("SUCCESS", "abab")
    for component, field in (
        ("LanguageModel-assistant", "provider"),
        ("LanguageModel-assistant", "api_key"),
        ("LanguageModel-assistant", "ollama_base_url"),
        ("LanguageModel-assistant", "code"),
        ("ChatInput-assistant", "files"),
    ):
        outcome = dagster.ask(input_value="hi", flow_id="assistant", tweaks={component: {field: "x"}})
        assert outcome.status == "FAILURE"
        assert f"DAGMA_RUN_CONFIG_TWEAKS: {component}.{field}" in outcome.metadata["fix"]
        assert "call_id" not in outcome.metadata, "nothing was begun, and nothing sent"


def test_a_run_shows_what_was_asked_what_it_cost_and_which_flow(dagster: Dagster) -> None:
    run_id = dagster.launch(input_value="What is the capital of France?")
    outcome = dagster.finish(run_id)
    assert outcome.metadata["input"] == "What is the capital of France?"
    assert outcome.metadata["cost_usd"] == "unpriced: set DAGMA_PRICES"
    assert {"attempt", "origin", "path"}.isdisjoint(outcome.metadata)
    (run,) = dagster.runs(tags=[{"key": "dagma/flow", "value": "assistant"}], runIds=[run_id])
    assert run["runId"] == run_id
