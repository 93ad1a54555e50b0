"""What whoever may launch runs can't reach through a run's config, tried over GraphQL as by the launchpad."""

from typing import Any

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
READS_THE_ENVIRONMENT = {"ops": {ASSET: {"config": {"input_value": {"env": "DAGSTER_PG_HOST"}}}}}
SENDS_THE_KEY_ELSEWHERE = {
    "resources": {"backend": {"config": {"base_url": "http://llm:8080", "api_key": {"env": "CELERY_BROKER_URL"}}}}
}


def selector(job: str) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "repositoryLocationName": "dagma",
        "repositoryName": "__repository__",
        "pipelineName": job,
    }
    return chosen | ({"assetSelection": [{"path": [ASSET]}]} if job == ASSET_JOB else {})


def test_an_attack_by_a_runs_config_is_refused_before_a_run_exists(dagster: Dagster) -> None:
    before = {run["runId"] for run in dagster.runs()}
    params = {"selector": selector(ASSET_JOB), "runConfigData": SENDS_THE_KEY_ELSEWHERE}
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
