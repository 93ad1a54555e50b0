"""What calls cost on disk, before and after pruning: real calls of the flow `echo`, on a stack of its own.

Usage: python -m bench.growth [CALLS]

Calls are made, aged, pruned, and made again: what the second ones add to the files is what remains of growth.
"""

import sys
import tempfile
import time
import uuid
from pathlib import Path

from harness.stack import Stack, fresh_stack

from dagma.execution.webserver import Webserver

DATABASES = ("dagster", "langflow", "dagma")
JOB, ASSET, ECHO = "langflow_run_flow_job", "langflow_run_flow", "da90a000-0000-4000-8000-000000000002"
AT_ONCE = 20
SETTINGS = {"DAGMA_SCHEDULES_RUNNING": "false"}
AGE = {
    "dagster": "UPDATE runs SET create_timestamp = create_timestamp - interval '31 days',"
    " update_timestamp = update_timestamp - interval '31 days', end_time = end_time - 31 * 86400",
    "langflow": "UPDATE message SET timestamp = timestamp - interval '31 days';"
    " UPDATE trace SET start_time = start_time - interval '31 days';"
    " UPDATE job SET created_timestamp = created_timestamp - interval '31 days',"
    " finished_timestamp = finished_timestamp - interval '31 days'",
    "dagma": "ALTER TABLE calls DISABLE TRIGGER USER; UPDATE calls SET begun_at = begun_at - interval '401 days';"
    " ALTER TABLE calls ENABLE TRIGGER USER",
}
# What Langflow does by itself, five minutes after its start and then every hour, in its own words.
OLD_JOBS = "finished_timestamp < now() - interval '30 days'"
PRUNE_JOBS = (
    f"DELETE FROM job_events WHERE job_id IN (SELECT job_id FROM job WHERE {OLD_JOBS});"  # noqa: S608 (a constant)
    f" DELETE FROM job WHERE {OLD_JOBS}"
)
COUNT_OLD_JOBS = f"SELECT count(*) FROM job WHERE {OLD_JOBS}"  # noqa: S608 (a constant)
COUNT = "query C($f: RunsFilter!) { runsOrError(filter: $f) { ... on Runs { count } } }"


def sizes(stack: Stack) -> dict[str, int]:
    """Bytes on disk by store."""
    found = {name: int(stack.sql(name, f"SELECT pg_database_size('{name}')")) for name in DATABASES}
    return {**found, "files": 1024 * int(stack.exec("worker", "du", "-sk", "/var/lib/dagma").split()[0])}


def make_calls(stack: Stack, count: int) -> float:
    """Make calls through Dagster, and return the seconds that they took."""
    webserver = Webserver(stack.dagster_url)
    began = time.monotonic()
    unfinished = {"statuses": ["QUEUED", "NOT_STARTED", "STARTING", "STARTED"]}
    left = count
    while True:
        waiting = webserver.query(COUNT, f=unfinished)["runsOrError"]["count"]
        if not left and not waiting:
            return time.monotonic() - began
        for _ in range(min(left, AT_ONCE - waiting)):
            config = {"input_value": "hello", "flow_id": ECHO, "session_id": f"call-{uuid.uuid4().hex}"}
            webserver.launch(JOB, {"ops": {ASSET: {"config": config}}}, tags={})
            left -= 1
        time.sleep(0.5)


def largest(stack: Stack, database: str) -> str:
    """Name the tables that take most."""
    listed = stack.sql(
        database,
        "SELECT relname || ' ' || pg_total_relation_size(relid) / 1024 || ' KB' FROM pg_stat_user_tables"
        " ORDER BY pg_total_relation_size(relid) DESC LIMIT 6",
    )
    return ", ".join(listed.splitlines())


def report(name: str, before: dict[str, int], after: dict[str, int], calls: int) -> None:
    """Print what was added, by call."""
    added = {store: (after[store] - before[store]) / 1024 / calls for store in before}
    stores = ", ".join(f"{store} {kilobytes:.1f}" for store, kilobytes in added.items())
    print(f"{name}: {sum(added.values()):.1f} KB a call ({stores})", flush=True)


def main() -> None:
    """Measure, and print."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder, fresh_stack(Path(folder), **SETTINGS) as stack:
        make_calls(stack, 5)
        stack.sql("langflow", AGE["langflow"])
        empty = sizes(stack)
        print(f"{calls} calls took {make_calls(stack, calls):.0f} s", flush=True)
        print(
            f"old jobs that Langflow has not pruned: {stack.sql('langflow', COUNT_OLD_JOBS).strip()} of 5", flush=True
        )
        full = sizes(stack)
        report("without pruning", empty, full, calls)
        for database in DATABASES:
            print(f"  {database}: {largest(stack, database)}", flush=True)
            stack.sql(database, AGE[database])
        began = time.monotonic()
        print(stack.exec("user-code", "dagma", "prune", "--wait", "36000").strip())
        stack.sql("langflow", PRUNE_JOBS)
        print(f"pruned in {time.monotonic() - began:.0f} s", flush=True)
        for database in DATABASES:
            stack.sql(database, "VACUUM")
        pruned = sizes(stack)
        report("what files keep of pruned calls, for new ones", empty, pruned, calls)
        make_calls(stack, calls)
        report("as many calls again, after pruning", pruned, sizes(stack), calls)
        for database in DATABASES:
            stack.sql(database, AGE[database])
        stack.exec("user-code", "dagma", "prune", "--wait", "36000")
        stack.sql("langflow", PRUNE_JOBS)
        for database in DATABASES:
            stack.sql(database, "VACUUM FULL")
        report("what stays of calls that were pruned, tables rewritten", empty, sizes(stack), 2 * calls)


if __name__ == "__main__":
    main()
