"""What is past its days is pruned from every store of the shipped stack, and nothing else is."""
# ruff: noqa: S608 (the values are the tests' own)

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.stack import Stack
from stack.conftest import Dagster, rows

from dagma.execution.webserver import ENTRY
from dagma.langflow import LangflowClient

STEPS = (
    ENTRY
    + """
query Steps($id: ID!) {
  runOrError(runId: $id) { ... on Run { eventConnection { events {
    __typename
    ... on ExecutionStepOutputEvent { stepKey metadataEntries { ...entry } }
    ... on ExecutionStepFailureEvent { stepKey error { message } }
  } } } }
}
"""
)
SCHEDULE = """
query Schedule($selector: ScheduleSelector!) {
  scheduleOrError(scheduleSelector: $selector) {
    ... on Schedule { pipelineName cronSchedule scheduleState { status } }
  }
}
"""
SELECTOR = {
    "repositoryLocationName": "dagma",
    "repositoryName": "__repository__",
    "scheduleName": "prune_daily",
}


@dataclass(frozen=True)
class Call:
    """A call through Dagster, and the session that it had in Langflow."""

    run_id: str
    session_id: str

    def age(self, stack: Stack, days: int) -> None:
        """Make everything that the call has left older."""
        ago = f"interval '{days} days'"
        of_run, of_session = f"run_id = '{self.run_id}'", f"session_id = '{self.session_id}'"
        seconds = days * 86400
        stack.sql(
            "dagster",
            f"UPDATE runs SET create_timestamp = create_timestamp - {ago}, update_timestamp = update_timestamp - {ago},"
            f" start_time = start_time - {seconds}, end_time = end_time - {seconds} WHERE {of_run};"
            f"UPDATE event_logs SET timestamp = timestamp - {ago} WHERE {of_run}",
        )
        age_session(stack, self.session_id, days)
        stack.sql(
            "dagma",
            "ALTER TABLE calls DISABLE TRIGGER USER;"
            f"UPDATE calls SET begun_at = begun_at - {ago} WHERE {of_run};"
            "ALTER TABLE calls ENABLE TRIGGER USER",
        )
        assert stack.sql("langflow", f"SELECT count(*) FROM message WHERE {of_session}").strip() == "2"

    def left(self, stack: Stack) -> dict[str, int]:
        """Count what each store still has of the call."""
        of_run, of_session = f"run_id = '{self.run_id}'", f"session_id = '{self.session_id}'"
        counts = {
            "runs": stack.sql("dagster", f"SELECT count(*) FROM runs WHERE {of_run}"),
            "run_tags": stack.sql("dagster", f"SELECT count(*) FROM run_tags WHERE {of_run}"),
            "events": stack.sql("dagster", f"SELECT count(*) FROM event_logs WHERE {of_run}"),
            "files": stack.exec("worker", "sh", "-c", f"find /var/lib/dagma -path '*{self.run_id}*' | wc -l"),
            "messages": stack.sql("langflow", f"SELECT count(*) FROM message WHERE {of_session}"),
            "traces": stack.sql("langflow", f"SELECT count(*) FROM trace WHERE {of_session}"),
            "spans": stack.sql(
                "langflow",
                f"SELECT count(*) FROM span WHERE trace_id IN (SELECT id FROM trace WHERE {of_session})",
            ),
            "calls": stack.sql("dagma", f"SELECT count(*) FROM calls WHERE {of_run}"),
        }
        return {name: int(count) for name, count in counts.items()}


def age_session(stack: Stack, session_id: str, days: int) -> None:
    ago, which = f"interval '{days} days'", f"session_id = '{session_id}'"
    stack.sql(
        "langflow",
        f"UPDATE message SET timestamp = timestamp - {ago} WHERE {which};"
        f"UPDATE trace SET start_time = start_time - {ago}, end_time = end_time - {ago} WHERE {which}",
    )


def ask(dagster: Dagster) -> Call:
    session_id = f"call-{uuid.uuid4().hex}"
    run_id = dagster.launch(input_value="hello", session_id=session_id)
    assert dagster.finish(run_id).status == "SUCCESS"
    return Call(run_id, session_id)


def old_call(stack: Stack, dagster: Dagster) -> Call:
    """Make a call and age it; nothing else is old enough to be pruned then."""
    old, _latest = ask(dagster), ask(dagster)
    stack.exec("user-code", "dagma", "prune")
    old.age(stack, days=401)
    return old


def prune(dagster: Dagster) -> str:
    """Run the job of the schedule; return the run's id."""
    run_id = dagster.webserver.launch("prune", {}, tags={})
    dagster.finish(run_id)
    return run_id


def steps(dagster: Dagster, run_id: str) -> dict[str, Any]:
    """By step, the metadata of its output, or the message of its failure."""
    events = dagster.webserver.query(STEPS, id=run_id)["runOrError"]["eventConnection"]["events"]
    found: dict[str, Any] = {}
    for event in events:
        if event["__typename"] == "ExecutionStepOutputEvent":
            found[event["stepKey"]] = {entry["label"]: _value(entry) for entry in event["metadataEntries"]}
        elif event["__typename"] == "ExecutionStepFailureEvent":
            found[event["stepKey"]] = event["error"]["message"]
    return found


def _value(entry: dict[str, Any]) -> Any:
    return next((value for name, value in entry.items() if name not in ("label", "__typename")), None)


@contextmanager
def paused(stack: Stack, service: str) -> Iterator[None]:
    stack.run("pause", service)
    try:
        yield
    finally:
        stack.run("unpause", service)


def test_the_schedule_runs_by_default(dagster: Dagster) -> None:
    schedule = dagster.webserver.query(SCHEDULE, selector=SELECTOR)["scheduleOrError"]
    assert schedule == {"pipelineName": "prune", "cronSchedule": "30 3 * * *", "scheduleState": {"status": "RUNNING"}}


def test_what_is_past_its_days_goes_from_every_store_and_the_rest_stays(
    stack: Stack, dagster: Dagster, langflow: LangflowClient
) -> None:
    old, young = ask(dagster), ask(dagster)
    chat = f"chat-{uuid.uuid4().hex}"
    langflow.run("echo", "hello", session_id=chat)
    before = {call: call.left(stack) for call in (old, young)}
    assert all(before[old].values()), before
    totals = stack.sql("dagma", "SELECT sum(calls) FROM usage_hours")
    old.age(stack, days=401)
    young.age(stack, days=29)
    age_session(stack, chat, days=4000)

    done = steps(dagster, prune(dagster))

    assert set(old.left(stack).values()) == {0}, old.left(stack)
    assert young.left(stack) == before[young]
    assert stack.sql("langflow", f"SELECT count(*) FROM message WHERE session_id = '{chat}'").strip() == "2"
    assert stack.sql("langflow", f"SELECT count(*) FROM trace WHERE session_id = '{chat}'").strip() == "1"
    assert stack.sql("dagma", "SELECT sum(calls) FROM usage_hours") == totals
    assert dagster.materialized_by(young.run_id)
    assert not dagster.materialized_by(old.run_id)
    assert (done["prune_runs"]["runs"], done["prune_runs"]["days"]) == (1, 30)
    assert (done["prune_langflow"]["messages"], done["prune_langflow"]["traces"]) == (2, 1)
    assert (done["prune_ledger"]["calls"], done["prune_ledger"]["days"]) == (1, 400)


def test_the_latest_materialization_stays_however_old(stack: Stack, dagster: Dagster) -> None:
    latest = ask(dagster)
    latest.age(stack, days=60)
    before = latest.left(stack)

    prune(dagster)

    left = latest.left(stack)
    assert {name: left[name] for name in ("runs", "events", "files", "calls")} == {
        name: before[name] for name in ("runs", "events", "files", "calls")
    }
    assert (left["messages"], left["traces"]) == (0, 0)
    assert dagster.status(latest.run_id) == "SUCCESS"
    assert dagster.materialized_by(latest.run_id)


def test_a_store_that_is_away_fails_the_run_after_the_others_were_pruned(stack: Stack, dagster: Dagster) -> None:
    old = old_call(stack, dagster)
    with paused(stack, "langflow"):
        run_id = prune(dagster)
        assert dagster.status(run_id) == "FAILURE"
        done = steps(dagster, run_id)
        assert "langflow was not pruned: " in done["prune_langflow"]
        assert done["prune_runs"]["runs"] == 1
        assert done["prune_ledger"]["calls"] == 1
    stack.wait_health("langflow", "healthy", seconds=120)
    left = old.left(stack)
    assert (left["runs"], left["calls"], left["messages"]) == (0, 0, 2)

    prune(dagster)
    assert old.left(stack)["messages"] == 0


def test_it_is_pruned_by_hand_too(stack: Stack, dagster: Dagster) -> None:
    old = old_call(stack, dagster)
    stack.exec("user-code", "dagma", "prune")
    assert set(old.left(stack).values()) == {0}


def test_the_application_deletes_no_younger_calls_than_the_owner_says(stack: Stack, dagster: Dagster) -> None:
    call = ask(dagster)
    call.age(stack, days=399)
    script = (
        "import json, os, sqlalchemy; from dagma.ledger.ledger_settings import LedgerSettings\n"
        "engine = LedgerSettings.from_environment().open().database.engine\n"
        "def attempt(statement):\n"
        "    try:\n"
        "        with engine.begin() as c: return c.exec_driver_sql(statement).rowcount\n"
        "    except sqlalchemy.exc.DBAPIError as error: return str(error.orig).splitlines()[0]\n"
        "print('result', json.dumps([attempt(s) for s in ["
        "'UPDATE retention SET keep_days = 30', 'DELETE FROM retention', 'DELETE FROM calls',"
        " 'SELECT ledger_prune_expired(1000)']]))"
    )
    printed = stack.exec("worker", "python", "-c", script)
    (line,) = [line for line in printed.splitlines() if line.startswith("result ")]
    *refused, pruned = json.loads(line.removeprefix("result "))
    assert all("permission denied" in answer for answer in refused), refused
    assert pruned == 1
    assert len(rows(stack, call.run_id)) == 1


def test_the_owner_writes_the_days_of_the_setting_into_the_database(stack: Stack) -> None:
    migrate = ("run", "--rm", "--no-deps", "-T", "ledger-migrate")
    try:
        stack.run(*migrate, env={"DAGMA_RETENTION_LEDGER_DAYS": "90"})
        assert stack.sql("dagma", "SELECT keep_days FROM retention").strip() == "90"
        refused = stack.run(*migrate, env={"DAGMA_RETENTION_LEDGER_DAYS": "7"}, check=False)
        assert "DAGMA_RETENTION_LEDGER_DAYS is '7'. Set it to whole days, from 30 to" in refused
    finally:
        stack.run(*migrate)
    assert stack.sql("dagma", "SELECT keep_days FROM retention").strip() == "400"


def test_langflow_is_told_to_prune_its_jobs(stack: Stack) -> None:
    environment = stack.inspect(stack.container("langflow"))["Config"]["Env"]
    assert "LANGFLOW_BACKGROUND_RETENTION_DAYS=30" in environment
