"""Calls that are under way when something dies: launched, and what Langflow knows of them."""

import re
from collections.abc import Callable
from typing import Any

from harness.stack import Stack, wait_until
from stack.conftest import Dagster, rows, sleeping

from dagma.langflow import LangflowClient, PastRun

STEP_START = 'Started execution of step "langflow_run_flow".'
FOLLOWING = re.compile(r"Following job (?P<job>[0-9a-f-]{36})")
ANSWER_SECONDS = 20.0


def launch_direct(stack: Stack, dagster: Dagster, flow_id: str, seconds: float = ANSWER_SECONDS) -> str:
    """Launch a direct call that takes a while; return once its row in the ledger says that it is sent."""
    run_id = dagster.launch(input_value="slept", flow_id=flow_id, tweaks=sleeping(seconds), mode="direct")
    wait_until("the step's start", lambda: STEP_START in dagster.messages(run_id), seconds=60)
    wait_until("the call", lambda: rows(stack, run_id), seconds=30)
    return run_id


def launch_job(dagster: Dagster, flow_id: str, seconds: float) -> tuple[str, str]:
    """Launch a call that takes this long as a job; return the run's id and the job's, once Langflow runs the job."""
    run_id = dagster.launch(input_value="slept", flow_id=flow_id, tweaks=sleeping(seconds), mode="job")

    def job() -> str | None:
        log = "\n".join(dagster.messages(run_id))
        found = FOLLOWING.search(log)
        return found["job"] if found and "Behave-1 has started" in log else None

    return run_id, wait_until("the job", job, seconds=60) or ""


def runs_of(langflow: LangflowClient, row: dict[str, Any]) -> list[PastRun]:
    """What Langflow ran for a call."""
    return langflow.past_runs(f"call-{row['key'][:32]}")


def wait_for_runs(langflow: LangflowClient, row: dict[str, Any], are: Callable[[list[PastRun]], bool]) -> None:
    wait_until("Langflow's run", lambda: are(runs_of(langflow, row)), seconds=30)
