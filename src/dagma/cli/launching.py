"""A run that a command launches and waits for, and what is said of one that does not begin."""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from dagma import environment
from dagma.cli.celery_workers import BrokerError, count_workers
from dagma.execution.webserver import END_STATUSES, Outcome, Webserver, WebserverError
from dagma.ledger.formats import printable
from dagma.principal_tag import PRINCIPAL_TAG

INTERRUPTED = 130
QUEUED = frozenset({"NOT_STARTED", "QUEUED"})
WAITING = QUEUED | {"STARTING"}
"""The statuses of a run that no worker executes yet."""
# A run begins a second after it was launched. Later, someone who waits wants to know why.
HINT_SECONDS = 10.0
_LOOK_AT_WORKERS = "Look at them: `make ps`, `make logs s=worker`."


class UnfinishedError(Exception):
    """There is no end to report: the message says why, and where the run is."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def add_wait_option(parser: argparse.ArgumentParser) -> None:
    """Add `--wait`."""
    parser.add_argument(
        "--wait",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="stop waiting after this long; the run continues; default: %(default)g",
    )


def run_to_end(
    webserver: Webserver,
    job: str,
    config: dict[str, Any],
    wait: float,
    on_launch: Callable[[str], None] = lambda _: None,
) -> tuple[str, Outcome]:
    """Launch a run of a job, as the user of this process, and wait for its end, for `wait` seconds at most.

    Returns:
        The run's id, which `on_launch` is told once it is launched, and how it ended.

    Raises:
        UnfinishedError: It was not launched, goes on, or can't be followed.
    """
    started = time.monotonic()
    run_id = None
    try:
        run_id = webserver.launch(job, config, tags={PRINCIPAL_TAG: f"cli:{environment.user_name()}"})
        on_launch(run_id)
        if not _has_ended(webserver, run_id, started, wait):
            raise UnfinishedError(f"It has not ended after {wait:g} s. {_where(webserver, run_id)}")
        return run_id, webserver.outcome(run_id)
    except WebserverError as error:
        where = f"\n  run      {webserver.run_url(run_id)}" if run_id else ""
        raise UnfinishedError(f"dagma: {error}{where}") from error
    except KeyboardInterrupt as interrupt:
        raise UnfinishedError(f"Interrupted. {_where(webserver, run_id)}", INTERRUPTED) from interrupt


def how_it_ended(outcome: Outcome) -> str:
    """Say of a run that did not succeed how it ended, why, and how to fix it."""
    if outcome.status == "CANCELED":
        # The step's failure is then only Dagster's word for the cancel.
        return "The run was canceled."
    cause = outcome.metadata.get("cause") or outcome.failure or "See the run."
    told = " ".join(filter(None, [cause, outcome.metadata.get("fix")]))
    return printable(f"The run ended as {outcome.status}. {told}")


def _has_ended(webserver: Webserver, run_id: str, started: float, wait: float) -> bool:
    """Follow a run to its end, or for `wait` seconds; tell once why it does not begin."""
    is_told = False
    for status in webserver.follow(run_id):
        waited = time.monotonic() - started
        if waited > wait and status not in END_STATUSES:
            return False
        if not is_told and waited > HINT_SECONDS and status in WAITING:
            why = _why_it_waits(webserver, status)
            print(f"The run has waited for {waited:.0f} s: {why}", file=sys.stderr, flush=True)
            is_told = True
    return True


def _why_it_waits(webserver: Webserver, status: str) -> str:
    broker_url = environment.text("CELERY_BROKER_URL")
    try:
        if broker_url and not count_workers(broker_url):
            return f"no worker answers. {_LOOK_AT_WORKERS}"
    except BrokerError as error:
        return str(error)
    if status in QUEUED:
        return (
            "it is still in Dagster's queue. Either as many runs as may run at a time are in progress (see "
            f"{webserver.runs_url}; more at a time: `make up WORKERS=2`), or the daemon is down: `make ps`, "
            "`make logs s=dagster-daemon`."
        )
    return f"no worker has taken it yet; all may be busy with other runs. {_LOOK_AT_WORKERS}"


def _where(webserver: Webserver, run_id: str | None) -> str:
    return f"The run continues: {webserver.run_url(run_id)}" if run_id else f"See if it runs: {webserver.runs_url}"
