"""What the whole call path adds to a call: ledger, client, retries, typed results.

Runs where calls run (the worker's container, with the stack's ledger on PostgreSQL), against a fake Langflow that
answers in a millisecond: in a real one's variance the difference would drown. Bare calls and the call path take turns.

Usage: python -m bench.overhead [CALLS]    Needs DAGMA_LEDGER_URL.
"""

import statistics
import sys
from contextlib import ExitStack, closing
from typing import Any

import psycopg2
import requests
from bench.fake_process import FakeProcess, fake_langflow
from bench.figures import Figure, spread
from bench.turns import Call, take_turns

from dagma import environment
from dagma.backends.langflow.langflow_resource import LangflowRestResource

CALLS = 300
CALL_TARGET, JOB_TARGET = "<3", "<6"
QUESTION = "What is the capital of France?"


def bare_run(fake: FakeProcess, session: Any) -> Call:
    """A v1 run by one `post` of requests, or of a session that keeps its connection."""
    url, headers = f"{fake.base_url}/api/v1/run/{fake.flow_id}", {"x-api-key": fake.api_key}
    body = {"input_value": QUESTION, "input_type": "chat", "output_type": "chat"}

    def call() -> object:
        response = session.post(url, json=body, headers=headers, timeout=30)
        response.raise_for_status()
        return response.json()["outputs"]

    return call


def bare_job(fake: FakeProcess) -> Call:
    """A v2 background job by the requests that it can't do without: submit, events until the end, state, tokens."""
    base, headers = fake.base_url, {"x-api-key": fake.api_key}
    body = {"flow_id": fake.flow_id, "input_value": QUESTION, "mode": "background"}

    def get(path: str, **params: str) -> requests.Response:
        response = requests.get(f"{base}{path}", params=params, headers=headers, timeout=30)
        response.raise_for_status()
        return response

    def call() -> object:
        submitted = requests.post(f"{base}/api/v2/workflows", json=body, headers=headers, timeout=30)
        submitted.raise_for_status()
        job_id = submitted.json()["job_id"]
        assert get(f"/api/v2/workflows/{job_id}/events").content
        state = get("/api/v2/workflows", job_id=job_id).json()
        assert state["status"] == "completed"
        return state["output"], get(f"/api/v1/monitor/traces/{job_id}").json()

    return call


def bare_commits(connection: Any) -> Call:
    """Two transactions that are on disk when they end, as a call has them: no less tells a sent call from a new one."""

    def call() -> None:
        for _ in range(2):
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT pg_logical_emit_message(true, 'bench', 'a line of the log')")

    return call


def measure(count: int) -> list[Figure]:
    """Measure v1 and v2."""
    with (
        fake_langflow() as fake,
        requests.Session() as session,
        ExitStack() as made,
        closing(psycopg2.connect(environment.text("DAGMA_LEDGER_URL") or "")) as database,
    ):
        backend = made.enter_context(
            LangflowRestResource(base_url=fake.base_url, api_key=fake.api_key).process_config_and_initialize_cm()
        )
        flow_id = fake.flow_id
        calls: dict[str, Call] = {
            "two commits": bare_commits(database),
            "v1 requests.post": bare_run(fake, requests),
            "v1 session.post": bare_run(fake, session),
            "v1 call path": lambda: backend.run_flow(QUESTION, flow_id=flow_id, mode="direct"),
            "v2 job requests": bare_job(fake),
            "v2 call path": lambda: backend.run_flow(QUESTION, flow_id=flow_id, mode="job"),
        }
        seconds = take_turns(calls, count)
    for name, sample in seconds.items():
        print(f"{name:<22} {spread(sample)}")

    def added(ours: str, bare: str) -> float:
        return 1000 * (statistics.median(seconds[ours]) - statistics.median(seconds[bare]))

    return [
        Figure("two_commits", 1000 * statistics.median(seconds["two commits"]), "ms"),
        Figure("added_per_call_v1", added("v1 call path", "v1 requests.post"), "ms", CALL_TARGET),
        Figure("added_per_call_v1_over_a_kept_connection", added("v1 call path", "v1 session.post"), "ms", CALL_TARGET),
        Figure("added_per_call_v2", added("v2 call path", "v2 job requests"), "ms", JOB_TARGET),
    ]


if __name__ == "__main__":
    for figure in measure(int(sys.argv[1]) if sys.argv[1:] else CALLS):
        print(figure.to_json())
