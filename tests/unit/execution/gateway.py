"""Dagster's webserver behind the gateway, in this process, with one partitioned asset; runs that are launched wait."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_graphql.schema import create_schema
from graphql import GraphQLObjectType
from starlette.testclient import TestClient

from dagma.execution.guarded_webserver import GuardedWebserver

SECRET = "s" * 32
ANNA = "anna@example.com"
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
IDLE = {"selector": {"repositoryLocationName": "code", "repositoryName": "__repository__", "jobName": "idle"}}
CODE = """
import dagster as dg

@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def letters(): ...

@dg.op
def nothing(): ...

@dg.job(tags={"dagma/principal": "the code"})
def idle(): nothing()

defs = dg.Definitions(assets=[letters], jobs=[idle])
"""


class Gateway:
    """Sends requests as the gateway does for somebody, or without their headers as a program of the stack."""

    def __init__(self, webserver: GuardedWebserver, instance: dg.DagsterInstance) -> None:
        self.webserver = webserver
        self.instance = instance
        self.http = TestClient(
            webserver.create_asgi_app(), base_url="http://127.0.0.1:3000", raise_server_exceptions=False
        )

    def ask(
        self, role: str | None, query: str, *, principal: str = ANNA, variables: Any = None, **more: Any
    ) -> tuple[int, Any]:
        """Send a GraphQL document, and give the status and the answer."""
        body = {"query": query, "variables": variables, **more}
        answer = self.http.post("/graphql", json=body, headers=headers(role, principal))
        return answer.status_code, answer.json()


@cache
def mutations() -> GraphQLObjectType:
    """The mutations of the installed Dagster."""
    found: GraphQLObjectType | None = create_schema().graphql_schema.mutation_type
    assert found is not None
    return found


def headers(role: str | None, principal: str = ANNA, secret: str = SECRET) -> dict[str, Any]:
    """What the gateway adds to a request; nothing for a program of the stack."""
    if role is None:
        return {}
    return {"X-Dagma-Gateway": secret, "X-Dagma-Principal": principal.encode(), "X-Dagma-Role": role}


@contextmanager
def gateway(home: Path, secret: str | None = SECRET) -> Iterator[Gateway]:
    (home / "code.py").write_text(CODE)
    code = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(home / "code.py"))
    queue = {"run_coordinator": {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"}}
    with (
        pytest.MonkeyPatch.context() as environment,
        dg.instance_for_test(temp_dir=str(home), overrides=queue) as instance,
        WorkspaceProcessContext(
            instance, InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(code, location_name="code"))
        ) as workspace,
    ):
        # Code of this process can't be loaded anew.
        environment.setattr(WorkspaceProcessContext, "reload_workspace", lambda _workspace: None)
        environment.delenv("DAGMA_GATEWAY_SECRET", raising=False)
        if secret is not None:
            environment.setenv("DAGMA_GATEWAY_SECRET", secret)
        yield Gateway(GuardedWebserver(workspace), instance)


def launch(dagster: Gateway, role: str | None = "editor", **options: Any) -> str:
    params = {**IDLE, "executionMetadata": {"tags": options.pop("tags", [])}}
    status, answer = dagster.ask(role, LAUNCH, variables={"params": params}, **options)
    assert status == 200, answer
    run_id: str = answer["data"]["launchRun"]["run"]["runId"]
    return run_id
