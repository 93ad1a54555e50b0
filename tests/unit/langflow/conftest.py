import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from harness.certificates import certificates
from hypothesis import settings

from dagma.backoff import Backoff
from dagma.langflow import Access, JobPolicy, LangflowClient, RetryPolicy
from dagma.testing import FakeLangflow
from dagma.testing.fixtures import fake_langflow

__all__ = ["certificates", "fake_langflow"]

# A busy machine is no defect.
settings.register_profile("dagma", deadline=None)
settings.load_profile("dagma")

# For servers that hang.
IMPATIENT = 2.0

Wait = Callable[[float], object]
MakeClient = Callable[..., LangflowClient]


@pytest.fixture
def make_client(fake_langflow: FakeLangflow) -> Iterator[MakeClient]:
    """Make clients of the fake that retry and poll quickly; options replace what is set here."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> LangflowClient:
            settings = {
                "base_url": fake_langflow.base_url,
                "access": Access(api_key=fake_langflow.api_key),
                "timeout": 20.0,  # a busy machine is no defect
                "retry": RetryPolicy(attempts=3, backoff=Backoff(0.01, 0.02)),
                "jobs": JobPolicy(total=10.0, queued=5.0, outage=1.0, stall=0.5, poll=0.1),
            }
            return stack.enter_context(LangflowClient(**(settings | options)))

        yield make


@pytest.fixture
def client(make_client: MakeClient) -> LangflowClient:
    """Give a client of the fake."""
    return make_client()


@pytest.fixture
def echo(fake_langflow: FakeLangflow) -> str:
    """Give the id of a flow that answers with its input."""
    return fake_langflow.add_flow("echo")


def without_end(piece: bytes, status: int = 200, headers: str = "") -> Callable[[], Iterable[bytes]]:
    """A response whose body is a piece over and over, until the connection is closed."""
    head = f"HTTP/1.1 {status} Odd\r\n{headers}\r\n".encode()
    return lambda: chain([head], repeat(piece))


def dribbled(response: bytes, seconds: float) -> Callable[[], Iterable[bytes | float]]:
    """A response byte by byte, with silence after each."""
    return lambda: chain.from_iterable((bytes([byte]), seconds) for byte in response)


@contextlib.contextmanager
def closing_server(answer: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """Listen on a port, note what is said, and hang up on whoever has said something, with an answer or without."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        heard.append(connection.recv(65_536))
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def serving(talk: Callable[[socket.socket, Wait], None]) -> Iterator[int]:
    """Listen on a port, and talk to one caller after the other; waits end with the block."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = listener.accept()
                    with caller, contextlib.suppress(OSError):
                        talk(caller, done.wait)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
