"""No secret in any log, event log or snapshot, nor where Docker or /proc shows what a container was given.

Runs after the other stack tests, on what they have left.
"""

import json
import re
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.stack import TYPED, Stack
from stack.conftest import Dagster
from unit.scripts.compose import LASTING

SECRETS = re.compile(r"(PASSWORD|SECRET_KEY|SECRET|API_KEY)$")
# What stands in no other text: the whole may be escaped where it is shown.
WORDS = {"LLM_API_KEY": "typed-key-of-the-llm", "LANGFLOW_HEADERS": "typed-header-of-a-gateway"}
# Longer than from one health check to the next.
WATCHED_SECONDS = 25
WATCH = f"""
end=$(($(date +%s) + {WATCHED_SECONDS}))
while [ "$(date +%s)" -lt "$end" ]; do
  cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'
  sleep 0.1
done | sort -u
"""


def secrets(stack: Stack) -> dict[str, str]:
    found = {name: value for name, value in stack.settings.items() if SECRETS.search(name) and value}
    assert len(found) >= 9
    assert all(len(value) >= 20 for value in found.values())
    assert WORDS.keys() == TYPED.keys()
    return found | WORDS


def test_docker_inspect_shows_no_secret(stack: Stack) -> None:
    containers = stack.containers()
    assert {"flows-push", "ledger-migrate", "dagster-migrate"} <= {row.service for row in containers}, "ended ones too"
    for container in containers:
        shown = json.dumps(stack.inspect(container))
        assert "dagma" in shown
        assert [name for name, value in secrets(stack).items() if value in shown] == [], container.service


def test_no_process_was_started_with_a_secret(stack: Stack) -> None:
    """Health checks included: every environment and command line of every container, watched for a while."""
    services = [row.service for row in stack.containers() if row.state == "running"]
    assert set(services) == set(LASTING)
    with ThreadPoolExecutor(len(services)) as threads:
        watched = dict(
            zip(services, threads.map(lambda name: stack.exec(name, "sh", "-c", WATCH), services), strict=True)
        )
    for service, shown in watched.items():
        assert "PATH=" in shown, service
        assert [name for name, value in secrets(stack).items() if value in shown] == [], service
    # What was watched is what is meant.
    assert "psql" in watched["postgres"]
    assert "dagma.execution.health" in watched["worker"]


@pytest.mark.parametrize("service", ["dagster-webserver", "dagster-daemon", "llm", "redis", "postgres"])
def test_a_container_that_calls_no_langflow_has_no_key_for_it(stack: Stack, service: str) -> None:
    files = stack.exec(service, "sh", "-c", "cat /run/secrets/* 2>/dev/null; true")
    known = {name for name, value in secrets(stack).items() if value in files}
    assert (
        known
        == {
            "dagster-webserver": {"DAGSTER_PG_PASSWORD", "REDIS_PASSWORD"},
            "dagster-daemon": {"DAGSTER_PG_PASSWORD", "REDIS_PASSWORD"},
            "llm": set(),
            "redis": {"REDIS_PASSWORD"},
            "postgres": {
                *("DAGSTER_PG_PASSWORD", "LANGFLOW_PG_PASSWORD", "DAGMA_PG_PASSWORD", "DAGMA_PG_OWNER_PASSWORD"),
                "TABLES_PG_PASSWORD",
            },
        }[service]
    )


def test_a_workers_environment_has_no_secret_to_be_read_by_a_runs_config(stack: Stack) -> None:
    """Not what it was started with, and not what it has set since: what user code there would see."""
    program = "import os, dagma.execution.worker; print(dict(os.environ))"
    shown = stack.exec("worker", "python", "-c", program)
    assert "DAGSTER_PG_PASSWORD_FILE" in shown
    assert [name for name, value in secrets(stack).items() if value in shown] == []


def test_a_key_as_a_person_typed_it_reaches_langflow(stack: Stack) -> None:
    assert stack.exec("langflow", "cat", "/run/secrets/LLM_API_KEY") == TYPED["LLM_API_KEY"]


def test_no_container_has_logged_a_secret(stack: Stack) -> None:
    logs = stack.logs()

    assert "langflow-1" in logs
    assert [name for name, value in secrets(stack).items() if value in logs] == []


def test_dagsters_database_holds_no_secret(stack: Stack, dagster: Dagster) -> None:
    assert dagster.ask(input_value="ping").status == "SUCCESS"
    dump = stack.exec("postgres", "pg_dump", "-U", "postgres", "--data-only", "--inserts", "dagster")
    # Snapshots are compressed.
    snapshots = [zlib.decompress(bytes.fromhex(hexadecimal)) for hexadecimal in re.findall(r"'\\x(78[0-9a-f]+)'", dump)]
    stored = dump + "".join(snapshot.decode() for snapshot in snapshots)

    assert "event_logs" in dump
    assert any(b"langflow_run_flow" in snapshot for snapshot in snapshots)
    assert "Answers calls with the flows of a Langflow server" in stored, "the snapshot describes the backend"
    assert [name for name, value in secrets(stack).items() if value in stored] == []


def test_compute_logs_hold_no_secret(stack: Stack) -> None:
    files = stack.exec("worker", "sh", "-c", "find /var/lib/dagma -type f | head -500 | xargs cat")

    assert [name for name, value in secrets(stack).items() if value in files] == []


def test_the_webserver_shows_no_secret_of_its_configuration(stack: Stack, dagster: Dagster) -> None:
    shown = str(dagster.webserver.query("{ instance { info } }"))

    assert "run_launcher" in shown
    assert [name for name, value in secrets(stack).items() if value in shown] == []
