"""Workers are asked by Celery's own control messages, here over kombu's transport in memory."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kombu.connection import Connection
from kombu.pidbox import Mailbox

from dagma.cli import celery_workers
from dagma.cli.celery_workers import BrokerError, Worker, find_workers

MEMORY = "memory://"


@pytest.fixture
def worker() -> Iterator[None]:
    """A worker that executes one run and has two slots, and keeps answering until the end of the test."""
    handlers: dict[str, Any] = {
        "active_queues": lambda _state, **_: [{"name": "dagster"}],
        "stats": lambda _state, **_: {"pool": {"max-concurrency": 2}},
        "active": lambda _state, **_: [{"id": "a run"}],
    }
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
def test_a_worker_tells_its_queues_and_how_busy_it_is() -> None:
    assert find_workers(MEMORY, answer_seconds=1.0) == [Worker(frozenset({"dagster"}), slots=2, busy=1)]


def test_no_worker_is_an_empty_list() -> None:
    assert find_workers(MEMORY, answer_seconds=0.2) == []


def test_a_broker_that_is_down_is_named_without_its_password() -> None:
    with pytest.raises(
        BrokerError, match=r"The broker at 127\.0\.0\.1:9 can't be reached .*make logs s=redis"
    ) as caught:
        find_workers("redis://:hidden-password@127.0.0.1:9/0")
    assert "hidden-password" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://:hidden@redis:6379/0", "redis:6379"),
        ("redis://redis", "redis:6379"),
        ("redis://[", "an address that can't be read"),
    ],
)
def test_the_address_of_a_broker_has_no_password(url: str, address: str) -> None:
    assert celery_workers.broker_address(url) == address
