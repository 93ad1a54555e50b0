"""Signs of life of the runs that Celery workers execute, in their result backend, which is Redis.

A worker gives one for each of its runs every few seconds, also while it shuts down and goes on with them. A run without
one has lost its worker.
"""

import logging
import time

from celery import Celery
from celery.worker import state
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
LIFE_SECONDS = 45
"""How long a sign lasts: longer than a network may be away for half a minute, and a worker takes to reconnect then."""
PREFIX = "dagma-alive-"

# kombu raises the transport's own errors as they are: Redis's, and the socket's.
BROKER_ERRORS = (KombuError, RedisError, OSError)


def give(app: Celery, task_id: str, hostname: str) -> None:
    """Say that a worker executes a task.

    Raises:
        BROKER_ERRORS: The result backend can't be reached.
    """
    app.backend.client.set(f"{PREFIX}{task_id}", hostname, ex=LIFE_SECONDS)


def is_given(app: Celery, task_id: str) -> bool:
    """Tell whether a worker has lately said that it executes a task.

    Raises:
        BROKER_ERRORS: The result backend can't be reached.
    """
    return bool(app.backend.client.exists(f"{PREFIX}{task_id}"))


def take_back(app: Celery, hostname: str) -> None:
    """Remove the signs of the runs that a worker had before it was started.

    Raises:
        BROKER_ERRORS: The result backend can't be reached.
    """
    client = app.backend.client
    for key in client.scan_iter(match=f"{PREFIX}*"):
        if client.get(key) == hostname.encode():
            client.delete(key)


def keep_giving(app: Celery, hostname: str) -> None:
    """Give signs for all runs of this process's worker, for as long as it lives."""
    is_new = True
    while True:
        try:
            if is_new:
                take_back(app, hostname)
                is_new = False
            for task_id in list(state.requests):
                give(app, task_id, hostname)
        except Exception as error:  # noqa: BLE001  # whatever it is, the next sign may be given
            logger.warning("No sign of life could be given: %s", error)
        time.sleep(BEAT_SECONDS)
