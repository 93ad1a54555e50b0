"""What stack tests ask and do through the published ports, as a user would."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.stack import Stack, wait_until
from stack.ledger_fixtures import (
    ledger_postgres,
    ledger_postgres_url,
    ledger_server,
    ledger_url,
    make_ledger,
    owner_url,
)

from dagma.execution.webserver import ENTRY, Outcome, Webserver, WebserverError
from dagma.langflow import Access, LangflowClient

__all__ = ["ledger_postgres", "ledger_postgres_url", "ledger_server", "ledger_url", "make_ledger", "owner_url"]

JOB = "langflow_run_flow_job"
ASSET = "langflow_run_flow"
BEHAVE = Path(__file__).parents[1] / "contract" / "flows" / "behave.json"
BEHAVE_COMPONENT = "Behave-1"

RUNS = """
query Runs($filter: RunsFilter, $limit: Int) {
  runsOrError(filter: $filter, limit: $limit) {
    __typename
    ... on Runs { results { runId status creationTime tags { key value } } }
  }
}
"""
EVENTS = """
query Events($id: ID!) {
  runOrError(runId: $id) {
    ... on Run { eventConnection { events { __typename ... on MessageEvent { message timestamp } } } }
  }
}
"""
TERMINATE = """
mutation Terminate($id: String!, $policy: TerminateRunPolicy!) {
  terminateRun(runId: $id, terminatePolicy: $policy) { __typename ... on TerminateRunFailure { message } }
}
"""
MATERIALIZATIONS = (
    ENTRY
    + """
query Asset($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) {
    ... on Asset { assetMaterializations(limit: 5) { runId metadataEntries { ...entry } } }
  }
}
"""
)


@dataclass
class Dagster:
    """Dagster as a user of its webserver sees it."""

    webserver: Webserver

    def launch(self, **config: Any) -> str:
        """Launch the asset's job with this config of its step; return the run's id."""
        return self.webserver.launch(JOB, {"ops": {ASSET: {"config": config}}}, tags={})

    def finish(self, run_id: str, seconds: float = 120.0) -> Outcome:
        """Wait for the run's end."""
        deadline = time.monotonic() + seconds
        for status in self.webserver.follow(run_id):
            if time.monotonic() > deadline:
                raise TimeoutError(f"run {run_id} is {status} after {seconds:g} s; its log: {self.messages(run_id)}")
        return self.webserver.outcome(run_id)

    def ask(self, **config: Any) -> Outcome:
        """Launch and finish."""
        return self.finish(self.launch(**config))

    def ask_when_served(self, seconds: float = 60.0, **config: Any) -> Outcome:
        """Ask; try again while the webserver can't launch, as in the seconds after what it needs has restarted."""

        def served() -> Outcome | None:
            try:
                return self.ask(**config)
            except WebserverError:
                return None

        outcome = wait_until("a launch", served, seconds=seconds)
        assert outcome is not None
        return outcome

    def status(self, run_id: str) -> str:
        return str(
            self.webserver.query("query S($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)[
                "runOrError"
            ]["status"]
        )

    def wait_status(self, run_id: str, status: str, seconds: float) -> None:
        wait_until(f"run {run_id} {status}", lambda: self.status(run_id) == status, seconds=seconds, every=0.2)

    def messages(self, run_id: str) -> list[str]:
        """Every message of the run's log."""
        events = self.webserver.query(EVENTS, id=run_id)["runOrError"]["eventConnection"]["events"]
        return [event["message"] for event in events if event.get("message")]

    def runs(self, **filter_: Any) -> list[dict[str, Any]]:
        """The newest runs, with their tags as a dict."""
        results = self.webserver.query(RUNS, filter=filter_ or None, limit=25)["runsOrError"]["results"]
        return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in results]

    def terminate(self, run_id: str, *, force: bool = False) -> None:
        """Cancel, as the button in the UI does; with `force`, as its check box for runs that don't answer."""
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if force else "SAFE_TERMINATE"
        answer = self.webserver.query(TERMINATE, id=run_id, policy=policy)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def materialized_by(self, run_id: str) -> bool:
        """Whether the asset has a materialization of this run."""
        asset = self.webserver.query(MATERIALIZATIONS, key={"path": [ASSET]})["assetOrError"]
        return run_id in [event["runId"] for event in asset.get("assetMaterializations", [])]


@pytest.fixture(scope="session")
def dagster(stack: Stack) -> Dagster:
    return Dagster(Webserver(stack.dagster_url))


@pytest.fixture(scope="session")
def langflow(stack: Stack) -> Iterator[LangflowClient]:
    """The stack's Langflow, through its published port."""
    with LangflowClient(stack.langflow_url, Access(api_key=stack.settings["LANGFLOW_API_KEY"])) as client:
        yield client


@pytest.fixture(scope="session")
def behave(langflow: LangflowClient) -> str:
    """The id of a flow that sleeps, repeats or fails as its tweaks say."""
    flow = json.loads(BEHAVE.read_text())
    langflow.upsert_flow(flow)
    return str(flow["id"])


@pytest.fixture(autouse=True)
def whole_again(request: pytest.FixtureRequest) -> Iterator[None]:
    """Bring back what a failed test has left stopped, so that the next one starts from a whole stack."""
    yield
    if "stack" in request.fixturenames:
        stack: Stack = request.getfixturevalue("stack")
        if not all(container.is_ready for container in stack.containers()):
            stack.start()


def sleeping(seconds: float) -> dict[str, Any]:
    """Tweaks that make the flow `behave` sleep."""
    return {BEHAVE_COMPONENT: {"seconds": seconds}}


def retry_of(dagster: Dagster, run_id: str, seconds: float = 180.0) -> str:
    """Wait for the run that retries this one."""
    tags = [{"key": "dagster/parent_run_id", "value": run_id}]
    try:
        (retry,) = wait_until("the retry", lambda: dagster.runs(tags=tags), seconds=seconds)
    except TimeoutError as error:
        log = "\n".join(dagster.messages(run_id))
        raise AssertionError(f"{error}\nThe run is {dagster.status(run_id)}. Its log:\n{log}") from error
    return str(retry["runId"])


def rows(stack: Stack, run_id: str) -> list[dict[str, Any]]:
    """The ledger's rows of a run, as its command line exports them."""
    # Of all: a run that has made no call yet would be an error.
    exported = stack.exec("user-code", "dagma", "ledger", "export", "--format", "jsonl")
    calls = (json.loads(line) for line in exported.splitlines() if line.startswith("{"))
    return [call for call in calls if call["run_id"] == run_id]
