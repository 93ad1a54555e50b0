"""Workers are asked by Celery's own control messages, here over kombu's transport in memory."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kombu.connection import Connection
from kombu.pidbox import Mailbox

from dagma.cli.celery_workers import BrokerError, count_workers

MEMORY = "memory://"


@pytest.fixture
def worker() -> Iterator[None]:
    """A worker that keeps answering until the end of the test."""
    handlers: dict[str, Any] = {"ping": lambda _state, **_: {"ok": "pong"}}
    over = threading.Event()
    listening = threading.Event()

    def serve() -> None:
        with Connection(MEMORY) as connection:
            mailbox = Mailbox("celery", type="fanout", accept=["json"], serializer="json")(connection)
            node = mailbox.Node("celery@w1", state={}, handlers=handlers, channel=connection.channel())
            with node.listen(callback=node.handle_message):
                listening.set()
                while not over.is_set():
                    try:
                        connection.drain_events(timeout=0.05)
                    except TimeoutError:
                        continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert listening.wait(5)
    yield
    over.set()
    thread.join(5)


@pytest.mark.usefixtures("worker")
def test_a_worker_that_answers_is_counted() -> None:
    assert count_workers(MEMORY, answer_seconds=1.0) == 1


def test_nobody_answers_where_there_is_no_worker() -> None:
    assert count_workers(MEMORY, answer_seconds=0.2) == 0


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://:hidden@127.0.0.1:9/0", "127.0.0.1:9"),
        ("redis://:hidden@[", "an address that can't be read"),
    ],
)
def test_a_broker_that_is_down_is_named_without_its_password(url: str, address: str) -> None:
    with pytest.raises(BrokerError, match=r"can't be asked .*make logs s=redis") as caught:
        count_workers(url)
    assert f"The broker at {address} " in str(caught.value)
    assert "hidden" not in str(caught.value)
