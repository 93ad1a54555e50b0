"""Why a run that was launched has not begun: what is said to whoever waits."""

import sys

from dagma import environment
from dagma.cli.celery_workers import BrokerError, find_workers
from dagma.execution.webserver import Webserver
from dagma.wording import counted

QUEUE_DAEMON = "QUEUED_RUN_COORDINATOR"
QUEUED = frozenset({"NOT_STARTED", "QUEUED"})
WAITING = QUEUED | {"STARTING"}
"""The statuses of a run that no worker executes yet."""
# A run begins a second after it was launched. Later, someone who waits wants to know why.
HINT_SECONDS = 10.0
_LOOK_AT_DAEMON = "Look at it: `make ps`, `make logs s=dagster-daemon`."
_LOOK_AT_WORKERS = "Look at them: `make ps`, `make logs s=worker`."


def tell_why_it_waits(webserver: Webserver, run_id: str, status: str, waited: float) -> bool:
    """Print why a run has not begun, if it was launched `waited` seconds ago and should have by now.

    Returns:
        Whether anything was printed.

    Raises:
        WebserverError: The webserver can't tell.
    """
    if waited <= HINT_SECONDS or status not in WAITING:
        return False
    why = _why_it_waits(webserver, run_id, status)
    print(f"The run has waited for {waited:.0f} s: {why}", file=sys.stderr, flush=True)
    return True


def _why_it_waits(webserver: Webserver, run_id: str, status: str) -> str:
    try:
        broker_url = environment.text("CELERY_BROKER_URL")
        workers = find_workers(broker_url) if broker_url else None
    except BrokerError as error:
        return str(error)
    if workers == []:
        return f"no worker answers. {_LOOK_AT_WORKERS}"
    queue = webserver.queue()
    others = sum(other != run_id for other in queue.in_progress)
    if status in QUEUED and QUEUE_DAEMON in queue.unhealthy_daemons:
        return f"the daemon, which takes runs off the queue, gives no heartbeat. {_LOOK_AT_DAEMON}"
    if status in QUEUED and queue.at_a_time is not None and others >= queue.at_a_time:
        return (
            f"{counted(others, 'other runs')} in progress, as many as may run at a time. See "
            f"{webserver.runs_url}; more at a time: `make up WORKERS=2`."
        )
    if workers and all(worker.busy >= worker.slots for worker in workers):
        slots = sum(worker.slots for worker in workers)
        return f"the workers are busy with as many runs as they take ({slots}). See {webserver.runs_url}."
    if status in QUEUED:
        return f"it is still in Dagster's queue. {_LOOK_AT_DAEMON}"
    return f"no worker has taken it yet. {_LOOK_AT_WORKERS}"
