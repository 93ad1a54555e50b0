"""Schedules run by default in the stack, and the daemon launches what they ask for."""

from datetime import UTC, datetime

from harness.stack import Stack, wait_until
from stack.conftest import Dagster, rows

SCHEDULE = """
query Schedule($selector: ScheduleSelector!) {
  scheduleOrError(scheduleSelector: $selector) {
    ... on Schedule { scheduleState { ticks(limit: 5) { runIds timestamp } } }
  }
}
"""
SELECTOR = {
    "repositoryLocationName": "dagma",
    "repositoryName": "__repository__",
    "scheduleName": "run_langflow_daily",
}


def test_the_daemon_launches_a_scheduled_tick(stack: Stack, dagster: Dagster) -> None:
    redeploy = ("up", "--detach", "--no-deps", "user-code")
    started = datetime.now(tz=UTC).timestamp()
    asked = "Good morning: 'what' is new?"
    stack.run(*redeploy, env={"LANGFLOW_SCHEDULE_CRON": "* * * * *", "LANGFLOW_SCHEDULE_INPUT": asked})
    try:
        stack.wait_health("user-code", "healthy", seconds=90)

        def launched() -> str | None:
            state = dagster.webserver.query(SCHEDULE, selector=SELECTOR)["scheduleOrError"]["scheduleState"]
            ticks = [tick for tick in state["ticks"] if tick["timestamp"] >= started and tick["runIds"]]
            return ticks[0]["runIds"][0] if ticks else None

        run_id = wait_until("a tick with a run", launched, seconds=150, every=2.0)
        outcome = dagster.finish(run_id)
    finally:
        stack.run(*redeploy)
        stack.wait_health("user-code", "healthy", seconds=90)
    assert outcome.status == "SUCCESS", outcome
    assert outcome.metadata["answer"]
    assert outcome.metadata["input"] == asked
    assert [row["principal"] for row in rows(stack, run_id)] == ["schedule:run_langflow_daily"]
    tags = dagster.runs(runIds=[run_id])[0]["tags"]
    assert tags["dagster/schedule_name"] == "run_langflow_daily"
