"""What is asked of Dagster's webserver, over GraphQL."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from dagma import environment

DEFAULT_URL = "http://127.0.0.1:3000"
REQUEST_TIMEOUT_SECONDS = 30.0
END_STATUSES = frozenset({"SUCCESS", "FAILURE", "CANCELED"})

LAUNCHED = """{
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PipelineNotFoundError { message }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
"""
LAUNCH = f"mutation Launch($params: ExecutionParams!) {{ launchRun(executionParams: $params) {LAUNCHED} }}"
RETRY = f"mutation Retry($params: ReexecutionParams!) {{ launchRunReexecution(reexecutionParams: $params) {LAUNCHED} }}"
LOCATION = """
query Location($name: String!) {
  workspaceLocationEntryOrError(name: $name) {
    __typename
    ... on WorkspaceLocationEntry {
      loadStatus
      locationOrLoadError { __typename ... on PythonError { message } }
    }
  }
}
"""
STATUS = """
query Status($id: ID!) {
  runOrError(runId: $id) { __typename ... on Run { status } }
}
"""
ENTRIES = """
metadataEntries {
  label
  ... on TextMetadataEntry { text }
  ... on MarkdownMetadataEntry { mdStr }
  ... on IntMetadataEntry { intValue }
  ... on FloatMetadataEntry { floatValue }
  ... on BoolMetadataEntry { boolValue }
  ... on UrlMetadataEntry { url }
}
"""
OUTCOME = (
    """
query Outcome($id: ID!) {
  runOrError(runId: $id) {
    ... on Run {
      status
      assetMaterializations { """
    + ENTRIES
    + """ }
      eventConnection {
        events {
          __typename
          ... on MessageEvent { message }
          ... on ExecutionStepFailureEvent { error { message } failureMetadata { """
    + ENTRIES
    + """ } }
        }
      }
    }
  }
}
"""
)


class WebserverError(Exception):
    """Dagster's webserver can't do what was asked; the message says why, and what to do."""


class LaunchRefusedError(WebserverError):
    """Dagster's webserver answered that it does not launch this run, although its code location is loaded."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: str
    metadata: dict[str, Any] = field(default_factory=dict)
    """Of the run's materialization, or of the failure of its step."""
    failure: str = ""


class Webserver:
    """One Dagster webserver."""

    def __init__(self, url: str, public_url: str | None = None, location: str = "dagma") -> None:
        """Remember where it is.

        Args:
            url: Where this process reaches it.
            public_url: Where people's browsers reach it, if elsewhere.
            location: Name of the code location in its workspace.
        """
        self.url = url.rstrip("/")
        self.location = location
        self._public_url = (public_url or url).rstrip("/")
        self._session = requests.Session()

    @classmethod
    def from_environment(cls) -> "Webserver":
        """Take the addresses from `DAGSTER_WEBSERVER_URL` and `DAGSTER_PUBLIC_URL`."""
        return cls(environment.text("DAGSTER_WEBSERVER_URL", DEFAULT_URL), environment.text("DAGSTER_PUBLIC_URL"))

    def at(self, location: str) -> "Webserver":
        """Give the same webserver for another code location."""
        return Webserver(self.url, self._public_url, location)

    def run_url(self, run_id: str) -> str:
        """Give the address of a run's page."""
        return f"{self._public_url}/runs/{run_id}"

    def query(self, document: str, **variables: Any) -> dict[str, Any]:
        """Send a GraphQL document.

        Raises:
            WebserverError: There is no answer, or an error.
        """
        try:
            response = self._session.post(
                f"{self.url}/graphql",
                json={"query": document, "variables": variables},
                timeout=REQUEST_TIMEOUT_SECONDS,
            )
            answer: dict[str, Any] = response.json()
        except requests.RequestException as error:
            raise WebserverError(
                f"Dagster's webserver at {self.url} does not answer ({type(error).__name__}). Start the stack with "
                "`make up`, or set DAGSTER_WEBSERVER_URL to where it is."
            ) from error
        if answer.get("errors"):
            raise WebserverError(f"Dagster's webserver refuses the query: {answer['errors'][0].get('message')}")
        data: dict[str, Any] = answer["data"]
        return data

    def check_location(self) -> None:
        """Make sure that the code location is loaded.

        Raises:
            WebserverError: It is not; with its own error, if it has one.
        """
        entry = self.query(LOCATION, name=self.location)["workspaceLocationEntryOrError"] or {}
        if entry.get("__typename") != "WorkspaceLocationEntry":
            raise WebserverError(f"Dagster has no code location {self.location!r}. Check dagster_home/workspace.yaml.")
        loaded = entry["locationOrLoadError"]
        if loaded is None:
            raise WebserverError(f"Code location {self.location!r} is still loading. Try again in a few seconds.")
        if loaded["__typename"] == "PythonError":
            raise WebserverError(
                f"Code location {self.location!r} does not load: {_first_lines(loaded['message'])}\n"
                "Correct what it names in .env or project/; then `make up`."
            )

    def launch(self, job: str, run_config: dict[str, Any], tags: dict[str, str]) -> str:
        """Launch a run of a job and return its id.

        Raises:
            WebserverError: It was not launched.
        """
        params = {
            "selector": {
                "repositoryLocationName": self.location,
                "repositoryName": "__repository__",
                "jobName": job,
            },
            "runConfigData": run_config,
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        return self._launched(job, self.query(LAUNCH, params=params)["launchRun"])

    def retry(self, run_id: str, strategy: str, tags: Mapping[str, str]) -> str:
        """Launch a run that retries a failed one, and return its id.

        Args:
            run_id: The failed run.
            strategy: Dagster's word for what to execute: `FROM_FAILURE` or `ALL_STEPS`.
            tags: Tags of the new run, over those of the failed one.

        Raises:
            LaunchRefusedError: It was not launched, for a cause of this run's own.
            WebserverError: There is no answer, or the code location is not loaded.
        """
        params = {
            "parentRunId": run_id,
            "strategy": strategy,
            "extraTags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        return self._launched(f"a retry of run {run_id}", self.query(RETRY, params=params)["launchRunReexecution"])

    def _launched(self, what: str, result: dict[str, Any]) -> str:
        if result["__typename"] == "LaunchRunSuccess":
            run_id: str = result["run"]["runId"]
            return run_id
        self.check_location()
        causes = [error["message"] for error in result.get("errors", [])] or [result.get("message", "")]
        raise LaunchRefusedError(f"Dagster did not launch {what} ({result['__typename']}): {' '.join(causes)}")

    def follow(self, run_id: str, *, poll_seconds: float = 0.25) -> Iterator[str]:
        """Yield the run's status at every poll, until it has ended."""
        while True:
            run = self.query(STATUS, id=run_id)["runOrError"]
            status = run.get("status")
            if status is None:
                raise WebserverError(f"Run {run_id} was deleted.")
            yield status
            if status in END_STATUSES:
                return
            time.sleep(poll_seconds)

    def outcome(self, run_id: str) -> Outcome:
        """Read how an ended run ended."""
        run = self.query(OUTCOME, id=run_id)["runOrError"]
        materializations = run["assetMaterializations"]
        if materializations:
            return Outcome(run["status"], _values(materializations[-1]["metadataEntries"]))
        events = run["eventConnection"]["events"]
        for event in events:
            if event["__typename"] == "ExecutionStepFailureEvent":
                described = event["failureMetadata"] or {"metadataEntries": []}
                message = (event["error"] or {}).get("message", "")
                return Outcome(run["status"], _values(described["metadataEntries"]), message.strip())
        messages = [event["message"] for event in events if event["__typename"] == "RunFailureEvent"]
        return Outcome(run["status"], failure=messages[-1].strip() if messages else "")


def _values(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Turn metadata entries into labels and values; an entry of a type that is not asked for has no value."""
    return {entry["label"]: value for entry in entries for name, value in entry.items() if name != "label"}


def _first_lines(message: str) -> str:
    """Keep what an error says, without its stack trace."""
    return message.split("Stack Trace:")[0].strip()
