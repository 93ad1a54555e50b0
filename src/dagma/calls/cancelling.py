"""Cancels that interrupt nobody: those of calls in threads, and of runs that were marked as cancelled by force."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import dagster as dg

from dagma.langflow import LangflowError

logger = logging.getLogger(__name__)

# How old the status of a run may be that a call goes by: a batch of short calls asks once a second.
FRESH_SECONDS = 1.0
# How often the status is looked at while a job runs.
POLL_SECONDS = 2.0
CANCELLED = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)

# When each run was looked at, and whether it was cancelled.
_SEEN: WeakKeyDictionary[dg.DagsterInstance, dict[str, tuple[float, bool]]] = WeakKeyDictionary()


def is_cancelled(instance: dg.DagsterInstance, run_id: str, *, fresh_seconds: float = 0.0) -> bool:
    """Tell whether a user has cancelled a run.

    Args:
        instance: Knows the state of runs.
        run_id: The run.
        fresh_seconds: How old the answer may be, in seconds. That a run is cancelled stays true.
    """
    known = _SEEN.setdefault(instance, {})
    seen_at, was_cancelled = known.get(run_id, (float("-inf"), False))
    if was_cancelled or time.monotonic() - seen_at < fresh_seconds:
        return was_cancelled
    run = instance.get_run_by_id(run_id)
    found = run is not None and run.status in CANCELLED
    known[run_id] = (time.monotonic(), found)
    return found


@contextmanager
def stopping_on_cancel(sees_cancel: Callable[[], bool], stop: Callable[[], object]) -> Iterator[None]:
    """Stop a job as soon as its run is cancelled, while the block waits for it."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            if not sees_cancel():
                continue
            try:
                stop()
            except LangflowError as error:
                logger.warning("The run is cancelled, and its job could not be stopped yet: %s", error)
            else:
                return

    threading.Thread(target=watch, name="dagma-cancel-watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()
