"""Does Dagster take runs, and is there a worker that executes them?"""

from dagma import environment
from dagma.cli.celery_workers import ANSWER_SECONDS, count_workers
from dagma.cli.doctor.check import Problem, Skipped
from dagma.execution.webserver import Webserver


def check_dagster() -> str:
    """Ask the webserver whether the code location is loaded."""
    webserver = Webserver.from_environment()
    webserver.check_location()
    return f"{webserver.url} has code location {webserver.location!r} loaded"


def check_daemons() -> str:
    """Ask the webserver for the daemons' heartbeats."""
    if silent := Webserver.from_environment().silent_daemons():
        raise Problem(
            f"No heartbeat of {', '.join(silent)}: runs stay in the queue, and nothing is scheduled. Look at it: "
            "`make ps`, `make logs s=dagster-daemon`."
        )
    return "all have a heartbeat: runs leave the queue, schedules tick"


def check_workers() -> str:
    """Ask all workers over the broker whether they are there."""
    broker_url = environment.text("CELERY_BROKER_URL")
    if broker_url is None:
        raise Skipped("CELERY_BROKER_URL is not set, so runs start as processes of the code server.")
    if count := count_workers(broker_url):
        return f"{count} answered over the broker"
    raise Problem(
        f"No worker answered within {ANSWER_SECONDS:g} s: runs wait. Look at them: `make ps`, `make logs s=worker`."
    )
