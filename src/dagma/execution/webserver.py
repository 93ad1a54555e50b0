"""What is asked of Dagster's webserver, over GraphQL."""

import copy
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from dagma import environment
from dagma.execution.gateway_token import bearer, token_for
from dagma.langflow.redaction import bare_url

DEFAULT_URL = "http://127.0.0.1:3000"
REQUEST_TIMEOUT_SECONDS = 30.0
RELOAD_SECONDS = 200.0  # a code server gives a process that loads definitions 180
POLL_SECONDS = 0.25
OUTAGE_SECONDS = 60.0
REPOSITORY = "__repository__"
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
      locationOrLoadError { __typename ... on PythonError { message causes { message } } }
    }
  }
}
"""
RELOAD = """
mutation Reload($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename
    ... on PythonError { message }
    ... on ReloadNotSupported { message }
    ... on RepositoryLocationNotFound { message }
    ... on UnauthorizedError { message }
  }
}
"""
STATUS = """
query Status($id: ID!) {
  runOrError(runId: $id) { __typename ... on Run { status } }
}
"""
DAEMONS = "query Daemons { instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
ENTRY = """
fragment entry on MetadataEntry {
  label
  ... on TextMetadataEntry { text }
  ... on MarkdownMetadataEntry { mdStr }
  ... on IntMetadataEntry { intValue }
  ... on FloatMetadataEntry { floatValue }
  ... on BoolMetadataEntry { boolValue }
  ... on UrlMetadataEntry { url }
  ... on JsonMetadataEntry { jsonString }
  ... on TableMetadataEntry { table { records } }
}
"""
"""The values of a metadata entry, for queries that ask for `...entry`."""
OUTCOME = (
    ENTRY
    + """
query Outcome($id: ID!) {
  runOrError(runId: $id) {
    ... on Run {
      status
      assetMaterializations { metadataEntries { ...entry } }
    }
  }
}
"""
)
EVENTS = (
    ENTRY
    + """
query Events($id: ID!, $cursor: String) {
  runOrError(runId: $id) {
    ... on Run {
      status
      eventConnection(afterCursor: $cursor) {
        cursor
        hasMore
        events {
          __typename
          ... on MessageEvent { message }
          ... on ExecutionStepFailureEvent {
            error { message errorChain { error { message } } }
            failureMetadata { metadataEntries { ...entry } }
          }
        }
      }
    }
  }
}
"""
)


class WebserverError(Exception):
    """Dagster's webserver can't do what was asked; the message says why, and what to do."""


class NoAnswerError(WebserverError):
    """Dagster's webserver does not answer, as while it restarts."""


class LaunchRefusedError(WebserverError):
    """Dagster's webserver answered that it does not launch this run, although its code location is loaded."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: str
    metadata: dict[str, Any] = field(default_factory=dict)
    """Of the run's last materialization; of a failed run, of the failure of its step."""
    failure: str = ""


class Webserver:
    """One Dagster webserver."""

    def __init__(
        self,
        url: str,
        public_url: str | None = None,
        location: str = "dagma",
        *,
        token: str | None = None,
        setting: str = "DAGSTER_WEBSERVER_URL",
    ) -> None:
        """Remember where it is.

        Args:
            url: Where this process reaches it.
            public_url: Where people's browsers reach it, if elsewhere.
            location: Name of the code location in its workspace.
            token: What the gateway in front of it takes for a login.
            setting: The variable that the address comes from, for messages.
        """
        self.url = url.rstrip("/")
        self.location = location
        self._public_url = bare_url(public_url or url).rstrip("/")
        self._setting = setting
        self._session = requests.Session()
        self._session.auth = bearer(token) if token else None
        # requests looks into REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE by itself.
        self._session.verify = environment.text("SSL_CERT_FILE") or True
        # No proxy on the way to one's own machine.
        self._session.trust_env = not re.match(r"http://(localhost|127\.[0-9.]+|\[::1\])(?=[:/]|$)", url)

    @classmethod
    def from_environment(cls) -> "Webserver":
        """Find it as the environment says.

        On another machine, `DAGMA_URL` is the gateway's address of Dagster, and `DAGMA_TOKEN` a token for it. Inside
        the stack, `DAGSTER_WEBSERVER_URL` and `DAGSTER_PUBLIC_URL` say where it is.

        Raises:
            SettingError: There is a token that the address must not be given.
        """
        if url := environment.text("DAGMA_URL"):
            return cls(url, token=token_for(url), setting="DAGMA_URL")
        return cls(environment.text("DAGSTER_WEBSERVER_URL", DEFAULT_URL), environment.text("DAGSTER_PUBLIC_URL"))

    def at(self, location: str) -> "Webserver":
        """Give the same webserver for another code location."""
        other = copy.copy(self)
        other.location = location
        return other

    def run_url(self, run_id: str) -> str:
        """Give the address of a run's page."""
        return f"{self._public_url}/runs/{run_id}"

    @property
    def runs_url(self) -> str:
        """The address of the list of runs."""
        return f"{self._public_url}/runs"

    def query(self, document: str, *, seconds: float = REQUEST_TIMEOUT_SECONDS, **variables: Any) -> dict[str, Any]:
        """Send a GraphQL document, and wait so many seconds for each part of the answer.

        Raises:
            WebserverError: There is no answer, or an error.
        """
        where = bare_url(self.url)
        try:
            response = self._session.post(
                f"{self.url}/graphql",
                json={"query": document, "variables": variables},
                timeout=seconds,
                allow_redirects=False,  # what follows one asks by GET, and shows a page
            )
        except ValueError as error:  # requests' own for what is no URL are ValueErrors, too
            raise WebserverError(
                f"{self._setting} is {where!r}, which is not a URL. Set it to one such as {DEFAULT_URL}."
            ) from error
        except OSError as error:  # requests' own, and that a file of CAs is not there
            raise NoAnswerError(
                f"Dagster's webserver at {where} does not answer: {_why_not(error)}. Start the stack with `make up`, "
                f"or set {self._setting} to where it is."
            ) from error
        if response.status_code == requests.codes.unauthorized or response.is_redirect:
            is_said = "text/plain" in response.headers.get("Content-Type", "")
            said = f" ({_text(response)})" if is_said else ""
            raise WebserverError(
                f"The gateway at {where} asks for a login{said}. Set DAGMA_URL to its address of Dagster, and "
                "DAGMA_TOKEN to a token that is still valid."
            )
        try:
            answer = response.json()
        except requests.exceptions.JSONDecodeError:
            answer = None
        if isinstance(answer, dict) and answer.get("errors"):
            raise WebserverError(f"Dagster's webserver refuses the query: {_first_message(answer['errors'])}")
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), dict):
            said = "" if response.ok else f" and says {_text(response)!r}"
            # A gateway answers like this while what is behind it restarts.
            raise (NoAnswerError if response.status_code >= 500 else WebserverError)(
                f"What answers at {where} is not Dagster's webserver, or refuses to answer: it answers "
                f"{response.status_code} to GraphQL{said}. Set {self._setting} to where Dagster is."
            )
        data: dict[str, Any] = answer["data"]
        return data

    def silent_daemons(self) -> list[str]:
        """List the daemons that Dagster requires and that give no heartbeat.

        Raises:
            WebserverError: There is no answer.
        """
        daemons = self.query(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return sorted(each["daemonType"] for each in daemons if each["required"] and not each["healthy"])

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
            # Dagster's own error says only that there is one; the last of its causes is what the code raised.
            cause = [loaded, *loaded["causes"]][-1]["message"].split("Stack Trace:")[0].strip()
            raise WebserverError(
                f"Code location {self.location!r} does not load: {cause}\n"
                f"See its log: `make logs s={'project' if self.location == 'project' else 'user'}-code`."
            )

    def reload(self) -> None:
        """Have the code location load its definitions anew; until it has, it serves the old ones.

        Raises:
            WebserverError: It was not reloaded, or they don't load.
        """
        done = self.query(RELOAD, seconds=RELOAD_SECONDS, name=self.location)["reloadRepositoryLocation"]
        if done["__typename"] != "WorkspaceLocationEntry":
            raise WebserverError(
                f"Dagster did not reload code location {self.location!r}: {_plain(done.get('message', ''))}"
            )
        self.check_location()

    def launch(self, job: str, run_config: dict[str, Any], tags: dict[str, str]) -> str:
        """Launch a run of a job and return its id.

        Raises:
            WebserverError: It was not launched.
        """
        params = {
            "selector": {
                "repositoryLocationName": self.location,
                "repositoryName": REPOSITORY,
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
        causes = [error["message"] for error in result.get("errors", [])] or [_plain(result.get("message", ""))]
        raise LaunchRefusedError(f"Dagster did not launch {what} ({result['__typename']}): {' '.join(causes)}")

    def follow(self, run_id: str) -> Iterator[str]:
        """Yield the run's status at every poll, until it has ended.

        Raises:
            WebserverError: There is no answer for longer than a restart takes, or the run was deleted.
        """
        answered = time.monotonic()
        while True:
            try:
                status = self._run(STATUS, run_id)["status"]
            except NoAnswerError:
                if time.monotonic() - answered > OUTAGE_SECONDS:
                    raise
                time.sleep(POLL_SECONDS)
                continue
            answered = time.monotonic()
            yield status
            if status in END_STATUSES:
                return
            time.sleep(POLL_SECONDS)

    def outcome(self, run_id: str) -> Outcome:
        """Read how an ended run ended.

        Raises:
            WebserverError: There is no answer, or the run was deleted.
        """
        run = self._run(OUTCOME, run_id)
        failure = ""
        for event in self._events(run_id) if run["status"] != "SUCCESS" else ():
            if event["__typename"] == "ExecutionStepFailureEvent":
                described = event["failureMetadata"] or {"metadataEntries": []}
                return Outcome(run["status"], _values(described["metadataEntries"]), _innermost(event["error"] or {}))
            if event["__typename"] == "RunFailureEvent":
                failure = _plain(event["message"])
        materializations = run["assetMaterializations"]
        if materializations:
            return Outcome(run["status"], _values(materializations[-1]["metadataEntries"]))
        return Outcome(run["status"], failure=failure)

    def _events(self, run_id: str) -> Iterator[dict[str, Any]]:
        """Yield the events of a run, of which an answer has a thousand at most."""
        cursor, has_more = None, True
        while has_more:
            page = self._run(EVENTS, run_id, cursor=cursor)["eventConnection"]
            yield from page["events"]
            cursor, has_more = page["cursor"], page["hasMore"]

    def _run(self, document: str, run_id: str, **variables: Any) -> dict[str, Any]:
        run: dict[str, Any] = self.query(document, id=run_id, **variables)["runOrError"]
        if "status" not in run:
            raise WebserverError(f"Run {run_id} was deleted.")
        return run


def _values(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Turn metadata entries into labels and values; an entry of a type that is not asked for has no value."""
    return {
        entry["label"]: _value(name, value) for entry in entries for name, value in entry.items() if name != "label"
    }


def _value(name: str, value: Any) -> Any:
    """Read what GraphQL gives as text: JSON, and the rows of a table."""
    if name == "jsonString":
        return json.loads(value)
    return [json.loads(record) for record in value["records"]] if name == "table" else value


def _innermost(error: dict[str, Any]) -> str:
    """Say what an error began with: those around it say only where Dagster met it."""
    errors = [error, *(link["error"] for link in error.get("errorChain") or [])]
    return _plain(errors[-1].get("message") or "")


def _plain(message: str) -> str:
    """Leave the module of the error's class out of a message."""
    return re.sub(r"^(?:\w+\.)+(?=\w+: )", "", message.strip())


def _first_message(errors: Any) -> str:
    first = errors[0] if isinstance(errors, list) else errors
    return str(first.get("message") if isinstance(first, dict) else first)


def _text(response: requests.Response) -> str:
    """Read what a text or a page says, such as the gateway's own."""
    return " ".join(re.sub("<[^>]*>", "", response.text).split())[:240]


def _why_not(error: OSError) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate can't be verified (name the file of its CA in SSL_CERT_FILE)"
    if isinstance(error, requests.Timeout):
        return "it was silent for too long"
    if not isinstance(error, requests.RequestException):
        return str(error)  # such as a file of CAs that is not there
    reason = re.search(r"\[Errno -?\d+\] ([\w ]+)", str(error))
    return reason[1] if reason else "the connection failed"
