"""Whether Celery workers answer at the broker.

Over kombu, which carries Celery's control messages: importing Celery itself takes a second.
"""

from urllib.parse import urlsplit

ANSWER_SECONDS = 2.0
CONNECT_SECONDS = 5.0


class BrokerError(Exception):
    """The broker can't be asked; the message says why, and what to do. It never holds the password."""


def count_workers(broker_url: str, *, answer_seconds: float = ANSWER_SECONDS) -> int:
    """Ask all workers at once, and count those that answer in time.

    Raises:
        BrokerError: The broker can't be reached, is full, or refuses the password.
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
            return len(control.multi_call("ping", timeout=answer_seconds))
    except (OSError, RedisError, KombuError, ValueError, KeyError) as error:
        raise _unreachable(broker_url, error) from None


def _unreachable(broker_url: str, error: Exception) -> BrokerError:
    from redis.exceptions import AuthenticationError

    where = _address(broker_url)
    if isinstance(error, AuthenticationError) or isinstance(error.__cause__, AuthenticationError):
        return BrokerError(
            f"The broker at {where} refuses the password. It is REDIS_PASSWORD in .env, read when the container "
            "starts: `make up`."
        )
    reason = " ".join(str(error).split()).removesuffix(".") or type(error).__name__
    return BrokerError(f"The broker at {where} can't be asked ({reason}). Look at it: `make ps`, `make logs s=redis`.")


def _address(broker_url: str) -> str:
    """Give the broker's host and port, without user and password."""
    try:
        parts = urlsplit(broker_url)
        return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    except ValueError:
        return "an address that can't be read"
