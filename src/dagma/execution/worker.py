"""The Celery app of the workers that execute Dagster's runs.

Start one with `celery -A dagma.execution.worker worker -Q dagster -c 2`. The broker and the result backend are
`CELERY_BROKER_URL` and `CELERY_RESULT_BACKEND`, or stand in the files that `..._FILE` name.

A worker that is told to stop (SIGTERM) takes no more runs and goes on with those it has. After
`DAGMA_WORKER_GRACE_SECONDS` it interrupts what still runs: such a run ends as a failure at once, for Dagster to retry
elsewhere, instead of dying with its worker and being looked for.

It imports the built-in definitions once, before it forks the processes that execute runs: runs start warm. The project
is imported by each process, with the first of its runs: after an edit other processes take their place
(`dagma.execution.pool_renewal`). Definitions that don't load keep no worker from starting: their runs fail, for that
cause.
"""

import importlib
import logging
import os
import signal
import threading
import time
from typing import Any

from celery import Celery
from celery.signals import task_postrun, worker_ready, worker_shutting_down
from celery.worker import state
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task

from dagma import environment
from dagma.execution.celery_settings import CELERY_SETTINGS, READY_FILE
from dagma.execution.load_errors import describe
from dagma.execution.pool_renewal import PoolRenewal
from dagma.execution.worker_roll_call import BROKER_ERRORS, RollCall
from dagma.ledger.prices import Prices

logger = logging.getLogger(__name__)

BUILT_IN = "dagma.definitions"
DEFAULT_GRACE_SECONDS = 45.0
CLEAN_UP_SECONDS = 15.0


def import_definitions() -> None:
    """Import the built-in definitions. If they don't load this is only told: a worker has to run the project's."""
    # A backend of somebody's own is a part of the project: the definitions would import it.
    is_built_in = environment.text("DAGMA_BACKEND", default="langflow").lower() == "langflow"
    module = BUILT_IN if is_built_in else "dagma.defs.llm.assets"
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001  # whatever it is, the worker starts
        logger.error("Runs of code location dagma will fail, it does not load: %s", describe(error))


def grace_seconds() -> float:
    """Read how long a stopping worker goes on: less than the container's stop_grace_period, by `CLEAN_UP_SECONDS`."""
    try:
        return environment.positive_number("DAGMA_WORKER_GRACE_SECONDS", default=DEFAULT_GRACE_SECONDS)
    except environment.SettingError as error:
        logger.error("%s Taking %g.", error, DEFAULT_GRACE_SECONDS)
        return DEFAULT_GRACE_SECONDS


GRACE_SECONDS = grace_seconds()
import_definitions()
# Before the fork as well: half a second for the first answer that is priced, in each process.
Prices().warm_up()


app: Celery = make_app(
    {
        "broker": environment.text("CELERY_BROKER_URL"),
        "backend": environment.text("CELERY_RESULT_BACKEND"),
        "config_source": CELERY_SETTINGS,
    }
)
app.steps["consumer"].add(PoolRenewal)
execute_job = create_execute_job_task(app)


def mark_ready(**_: Any) -> None:
    """Tell the health check that this worker can be asked."""
    READY_FILE.touch()


def drain(sender: str, **_: Any) -> None:
    """Start the grace period. In a thread, since this is called inside a signal handler."""
    threading.Thread(target=_drain, args=(sender,), name="drain", daemon=True).start()


def _drain(hostname: str) -> None:
    roll_call = RollCall(app)
    try:
        roll_call.mark_draining(hostname, seconds=GRACE_SECONDS + CLEAN_UP_SECONDS)
    except BROKER_ERRORS as error:
        logger.warning("Shutting down unannounced, the result backend is away: %s", error)
    time.sleep(GRACE_SECONDS)
    for request in list(state.active_requests):
        logger.warning("Interrupting run %s: the worker's grace period is over.", request.id)
        os.kill(request.worker_pid, signal.SIGTERM)


def obey_sigterm(**_: Any) -> None:
    """Undo what a run leaves behind: Dagster restores SIGTERM to Celery's SIGINT, which child processes ignore."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


worker_ready.connect(mark_ready)
worker_shutting_down.connect(drain)
task_postrun.connect(obey_sigterm)
