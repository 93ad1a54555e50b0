"""Which Celery workers answer at the broker, which queues they serve, and how busy they are.

Over kombu, which carries Celery's control messages: importing Celery itself takes a second.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 2.0
CONNECT_SECONDS = 5.0


class BrokerError(Exception):
    """The broker can't be asked; the message says why, and what to do. It never holds the password."""


@dataclass(frozen=True)
class Worker:
    """A worker that answered."""

    queues: frozenset[str]
    slots: int
    """How many runs it executes at a time."""
    busy: int
    """How many it executes now."""


def broker_address(broker_url: str) -> str:
    """Give the broker's host and port, without user and password."""
    try:
        parts = urlsplit(broker_url)
        return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    except ValueError:
        return "an address that can't be read"


def unreachable(broker_url: str, error: Exception) -> BrokerError:
    """Say why the broker can't be asked, from what asking it has raised."""
    from redis.exceptions import AuthenticationError

    where = broker_address(broker_url)
    if isinstance(error, AuthenticationError) or isinstance(error.__cause__, AuthenticationError):
        return BrokerError(
            f"The broker at {where} refuses the password. It is REDIS_PASSWORD in .env, read when the container "
            "starts: `make up`."
        )
    reason = " ".join(str(error).split()).removesuffix(".") or type(error).__name__
    return BrokerError(
        f"The broker at {where} can't be reached ({reason}). Look at it: `make ps`, `make logs s=redis`."
    )


def find_workers(broker_url: str, *, answer_seconds: float = ANSWER_SECONDS) -> list[Worker]:
    """Ask all workers at once, and return those that answer in time.

    Raises:
        BrokerError: The broker can't be reached, or refuses the password.
    """
    from kombu.connection import Connection
    from kombu.exceptions import KombuError
    from kombu.pidbox import Mailbox
    from redis.exceptions import RedisError

    options = {
        "socket_timeout": CONNECT_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry_on_timeout": False,
        "max_retries": 1,
    }
    try:
        with Connection(broker_url, transport_options=options) as broker:
            control = Mailbox("celery", type="fanout", accept=["json"], serializer="json")(broker)
            queues = _merged(control.multi_call("active_queues", timeout=answer_seconds))
            if not queues:
                return []
            stats = _merged(control.multi_call("stats", timeout=answer_seconds, limit=len(queues)))
            active = _merged(control.multi_call("active", timeout=answer_seconds, limit=len(queues)))
    except (OSError, RedisError, KombuError, ValueError, KeyError) as error:
        raise unreachable(broker_url, error) from None
    return [
        Worker(
            queues=frozenset(str(queue["name"]) for queue in served),
            slots=int(((stats.get(name) or {}).get("pool") or {}).get("max-concurrency") or 0),
            busy=len(active.get(name) or []),
        )
        for name, served in sorted(queues.items())
    ]


def _merged(answers: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: said for answer in answers for name, said in answer.items()}
