"""Health checks of the containers: `python -m dagma.execution.health webserver|daemon|code|worker|outbound`.

Each asks a service for what its users need, exits 0 or 1, and says the cause in one line. They run every few seconds in
every container, so none imports dagster (2 s of CPU): each asks over the wire.
"""

import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial

from dagma import environment
from dagma.execution.celery_settings import READY_FILE
from dagma.execution.outbound_routes import HEALTH, OPEN, WAY_OUT

TIMEOUT_SECONDS = 5

DAEMONS = 8
"""How many dagster.yaml switches on. A unit test asks Dagster."""
HEARTBEAT_TOLERANCE_SECONDS = 120
"""Daemons write one every 30 s, and each may be busy for a while."""


class UnhealthyError(Exception):
    """The service can't do its work; the message is the cause."""


def check_webserver(port: int = 3000) -> str:
    """Query a run over GraphQL, which reads the run storage.

    Raises:
        UnhealthyError: The webserver answered without the run storage's answer.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    # The runs themselves: without a field of theirs the webserver answers without asking the storage.
    query = json.dumps(
        {
            "query": "{ runsOrError(limit: 1) {"
            " __typename ... on Runs { results { runId } } ... on PythonError { message } } }"
        }
    )
    connection.request("POST", "/graphql", query, {"Content-Type": "application/json"})
    response = connection.getresponse()
    body = response.read()
    if response.status != http.client.OK:
        raise UnhealthyError(f"GraphQL answers {response.status}: {body[:200].decode(errors='replace')}")
    runs = (json.loads(body).get("data") or {}).get("runsOrError") or {}
    if runs.get("__typename") != "Runs":
        raise UnhealthyError(f"the run storage can't be read: {runs.get('message', 'no data')[:200]}")
    return "GraphQL reads the run storage"


def check_code(host: str = "127.0.0.1", port: int = 4000) -> str:
    """Ask the code server for its repositories: it answers with an error where the code does not load.

    The request and the answer are read as bytes, since Dagster's own stubs import all of Dagster.

    Raises:
        UnhealthyError: The code does not load.
    """
    import grpc

    with grpc.insecure_channel(f"{host}:{port}") as channel:
        list_repositories = channel.unary_unary("/api.DagsterApi/ListRepositories")
        answer: bytes = list_repositories(b"", timeout=TIMEOUT_SECONDS)
    if b'"__class__": "ListRepositoriesResponse"' not in answer:
        raise UnhealthyError(f"the code does not load: {answer[:2000].decode(errors='replace')}")
    return "the code server serves its repositories"


def check_daemon() -> str:
    """Count the daemons' heartbeats in the database, as `dagster-daemon liveness-check` does.

    Raises:
        UnhealthyError: A daemon has not written one for `HEARTBEAT_TOLERANCE_SECONDS`.
    """
    heartbeats = query_database("SELECT daemon_type, extract(epoch FROM timestamp) FROM daemon_heartbeats")
    fresh = sum(time.time() - float(written) < HEARTBEAT_TOLERANCE_SECONDS for _daemon, written in heartbeats)
    if fresh < DAEMONS:
        raise UnhealthyError(f"of {DAEMONS} daemons {fresh} have written a heartbeat lately")
    return f"{fresh} daemons have a heartbeat"


def check_worker() -> str:
    """Ping this container's own Celery worker over the broker, and reach the database its runs write to.

    Over kombu, which carries Celery's control messages and costs half as much to import.

    Raises:
        UnhealthyError: The worker does not answer.
    """
    if not READY_FILE.exists():  # asking costs seconds of a processor that the worker needs to start
        raise UnhealthyError("the worker has not started yet")
    from kombu.connection import Connection
    from kombu.pidbox import Mailbox

    query_database("SELECT 1")
    node = f"celery@{socket.gethostname()}"
    limits = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    with Connection(environment.text("CELERY_BROKER_URL"), transport_options=limits) as broker:
        control = Mailbox("celery", type="fanout", accept=["json"], serializer="json")(broker)
        if not control.call([node], "ping", timeout=TIMEOUT_SECONDS):
            raise UnhealthyError(f"worker {node} does not answer over the broker")
    return f"worker {node} answers"


def check_outbound(way_out: tuple[str, int] = WAY_OUT) -> str:
    """Ask the way out, which every door needs. Not a host outside: it would see a connection every few seconds.

    Raises:
        UnhealthyError: It does not answer.
    """
    with socket.create_connection(way_out, timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(f"{HEALTH}\n".encode())
        answer = connection.makefile().readline().strip()
    if answer != OPEN:
        raise UnhealthyError(f"the way out says {answer!r}")
    return "the way out answers"


def query_database(statement: str) -> list[tuple[str, float]]:
    """Run a statement in Dagster's database."""
    import psycopg2

    connection = psycopg2.connect(
        host=os.environ["DAGSTER_PG_HOST"],
        port=os.environ["DAGSTER_PG_PORT"],
        dbname=os.environ["DAGSTER_PG_DB"],
        user=os.environ["DAGSTER_PG_USER"],
        password=environment.text("DAGSTER_PG_PASSWORD"),
        connect_timeout=TIMEOUT_SECONDS,
        options=f"-c statement_timeout={TIMEOUT_SECONDS * 1000}",
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


CHECKS: dict[str, Callable[..., str]] = {
    "webserver": check_webserver,
    "daemon": check_daemon,
    "code": check_code,
    "worker": check_worker,
    "outbound": check_outbound,
}


def main(arguments: list[str]) -> int:
    """Run one check; 0 when the service does its work, 1 when it does not, 2 for an unknown service."""
    match arguments:
        case [service] if service in CHECKS:
            check = CHECKS[service]
        case ["code", "--host", host]:
            check = partial(check_code, host)
        case _:
            print(f"usage: python -m dagma.execution.health {'|'.join(CHECKS)} [--host OF_CODE]", file=sys.stderr)
            return 2
    try:
        print(f"healthy: {check()}")
    except Exception as error:  # noqa: BLE001  # whatever goes wrong, the container is not healthy, for this cause
        cause = " ".join(str(error).split()) or type(error).__name__
        print(f"unhealthy: {cause[:500]}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
