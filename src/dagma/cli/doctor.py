"""`dagma doctor`: is everything there that a call needs?"""

import argparse
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from dagma import environment
from dagma.access import access_from_environment, base_url_from_environment
from dagma.cli.server import langflow_client
from dagma.langflow import LangflowError
from dagma.langflow.call import is_uuid
from dagma.webserver import Webserver, WebserverError

CONNECT_SECONDS = 5.0


class Skipped(Exception):  # noqa: N818  # not an error: nothing is configured that could be checked
    """There is nothing to check; the message says why."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `doctor`."""
    parser = subparsers.add_parser(
        "doctor", help="check the environment, Langflow, Dagster and the broker", description=__doc__
    )
    parser.set_defaults(handler=doctor)


def doctor(options: argparse.Namespace) -> int:
    """Run every check, print a line for each, and return 0 only if none fails."""
    del options
    failures = 0
    for name, check in checks():
        try:
            print(f"ok       {name}: {check()}")
        except Skipped as reason:
            print(f"skipped  {name}: {reason}")
        except (LangflowError, WebserverError, environment.SettingError, OSError, ValueError) as error:
            failures += 1
            print(f"FAILED   {name}: {error}")
    return 1 if failures else 0


def checks() -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield each check's name, and what runs it: it returns what it found, or raises."""
    yield "settings", check_settings
    yield "Langflow", check_langflow
    yield "API key", check_api_key
    yield "default flow", check_default_flow
    yield "Dagster", check_dagster
    yield "broker", check_broker


def check_settings() -> str:
    """Read the settings that have a form of their own."""
    seconds = environment.positive_number("LANGFLOW_TIMEOUT_SECONDS", default=300.0)
    base_url_from_environment()
    access_from_environment()
    environment.flag("DAGMA_SCHEDULES_RUNNING", default=False)
    environment.choice("DAGMA_RECORD_TEXTS", ("full", "none"), default="full")
    return f"readable; a call may take {seconds:g} s"


def check_langflow() -> str:
    """Ask Langflow for its health, its database included."""
    with langflow_client() as client:
        client.health_check()
        return f"{client.base_url} answers, version {client.version()}"


def check_api_key() -> str:
    """List flows, which needs a valid key."""
    with langflow_client() as client:
        return f"accepted; it sees {len(client.list_flows())} flows"


def check_default_flow() -> str:
    """Look for the default flow."""
    flow_id = environment.text("LANGFLOW_DEFAULT_FLOW_ID")
    if flow_id is None:
        raise Skipped("LANGFLOW_DEFAULT_FLOW_ID is not set, so calls that name no flow are skipped.")
    with langflow_client() as client:
        for flow in client.list_flows():
            if flow_id in (flow.id, flow.endpoint_name):
                return f"{flow.name} ({flow.id})"
    kind = "id" if is_uuid(flow_id) else "endpoint name"
    raise ValueError(
        f"Langflow has no flow with the {kind} {flow_id!r}. Push it with `make flows-push`, or set "
        "LANGFLOW_DEFAULT_FLOW_ID to one that `dagma flows` lists."
    )


def check_dagster() -> str:
    """Ask the webserver whether the code location is loaded."""
    webserver = Webserver.from_environment()
    webserver.check_location()
    return f"{webserver.url} has code location {webserver.location!r} loaded"


def check_broker() -> str:
    """Connect to the broker."""
    url = environment.text("CELERY_BROKER_URL")
    if url is None:
        raise Skipped("CELERY_BROKER_URL is not set, so runs start as processes of the code server.")
    address = urlsplit(url)
    where = (address.hostname or "", address.port or 6379)
    try:
        socket.create_connection(where, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise OSError(f"The broker at {where[0]}:{where[1]} can't be reached ({error}). Is it up?") from error
    return f"{where[0]}:{where[1]} accepts connections"
