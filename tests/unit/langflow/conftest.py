import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from dagma.langflow import ApiKey, JobPolicy, LangflowClient, RetryPolicy, Timeouts
from dagma.testing import FakeLangflow
from dagma.testing.fixtures import fake_langflow

__all__ = ["fake_langflow"]

# A busy machine is no defect.
settings.register_profile("dagma", deadline=None)
settings.load_profile("dagma")

MakeClient = Callable[..., LangflowClient]


@pytest.fixture
def make_client(fake_langflow: FakeLangflow) -> Iterator[MakeClient]:
    """Make clients of the fake that wait briefly; options replace what is set here."""
    with ExitStack() as stack:

        def make(**options: Any) -> LangflowClient:
            settings = {
                "base_url": fake_langflow.base_url,
                "auth": ApiKey(fake_langflow.api_key),
                "timeouts": Timeouts(connect=1.0, read=1.0, total=2.0),
                "retry": RetryPolicy(attempts=3, base=0.01, cap=0.02),
                "jobs": JobPolicy(total=10.0, queued=5.0, outage=1.0, stall=0.5, poll=0.1),
            }
            return stack.enter_context(LangflowClient(**(settings | options)))

        yield make


@pytest.fixture
def client(make_client: MakeClient) -> LangflowClient:
    """Give a client of the fake that waits briefly."""
    return make_client()


@pytest.fixture
def echo(fake_langflow: FakeLangflow) -> str:
    """Give the id of a flow that answers with its input."""
    return fake_langflow.add_flow("echo")


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, and what it signed."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make an authority, a server's certificate for 127.0.0.1 and a client's."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    def key(name: str) -> tuple[str, ...]:
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key")

    openssl("req", "-x509", *key("authority"), "-out", "authority.pem", "-days", "2", "-subj", "/CN=Authority")
    for name in ("server", "client"):
        (folder / f"{name}.cnf").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("req", "-new", *key(name), "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-extfile", f"{name}.cnf")
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem", "-days", "2")
    return Certificates(
        authority=folder / "authority.pem",
        server=folder / "server.pem",
        server_key=folder / "server.key",
        client=folder / "client.pem",
        client_key=folder / "client.key",
    )
