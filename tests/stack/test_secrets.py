"""No secret in any log, event log or snapshot. Runs after the other stack tests, on what they have left."""

import re
import zlib

from harness.stack import Stack
from stack.conftest import Dagster

SECRETS = re.compile(r"PASSWORD|SECRET|API_KEY")


def secrets(stack: Stack) -> dict[str, str]:
    found = {name: value for name, value in stack.settings.items() if SECRETS.search(name) and value}
    assert len(found) >= 9
    assert all(len(value) >= 20 for value in found.values())
    return found


def test_no_container_has_logged_a_secret(stack: Stack) -> None:
    logs = stack.logs()

    assert "langflow-1" in logs
    assert [name for name, value in secrets(stack).items() if value in logs] == []


def test_dagsters_database_holds_no_secret(stack: Stack, dagster: Dagster) -> None:
    assert dagster.ask(input_value="ping").status == "SUCCESS"
    command = "PGPASSWORD=$POSTGRES_PASSWORD pg_dump -h 127.0.0.1 -U postgres --data-only --inserts dagster"
    dump = stack.exec("postgres", "sh", "-c", command)
    # Snapshots are compressed.
    snapshots = [zlib.decompress(bytes.fromhex(hexadecimal)) for hexadecimal in re.findall(r"'\\x(78[0-9a-f]+)'", dump)]
    stored = dump + "".join(snapshot.decode() for snapshot in snapshots)

    assert "event_logs" in dump
    assert any(b"langflow_run_flow" in snapshot for snapshot in snapshots)
    assert "LANGFLOW_API_KEY" in stored, "the snapshot names the variable"
    assert [name for name, value in secrets(stack).items() if value in stored] == []


def test_compute_logs_hold_no_secret(stack: Stack) -> None:
    files = stack.exec("worker", "sh", "-c", "find /var/lib/dagma -type f | head -500 | xargs cat")

    assert [name for name, value in secrets(stack).items() if value in files] == []


def test_the_webserver_shows_no_secret_of_its_configuration(stack: Stack, dagster: Dagster) -> None:
    shown = str(dagster.webserver.query("{ instance { info } }"))

    assert "run_launcher" in shown
    assert [name for name, value in secrets(stack).items() if value in shown] == []
