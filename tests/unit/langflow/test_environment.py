"""What the client takes from the environment: proxies, and authorities where it has none of its own."""

import contextlib
import os
import socket
import subprocess
import threading
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.certificates import Certificates, tls_server
from unit.langflow.conftest import MakeClient

from dagma.langflow import Access, LangflowClient, RetryPolicy, Unreachable
from dagma.testing import FakeLangflow, Fault

HEALTHY = Fault(status=200, body={"status": "ok"})


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def with_login(fake: FakeLangflow) -> str:
    return fake.base_url.replace("http://", "http://ann:w%40rd@")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_gets_the_whole_address_and_its_own_login(
    fake_langflow: FakeLangflow, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, with_login(fake_langflow))
    client = make_client(base_url="http://langflow.example/gateway")
    # It is read once, when the client is made.
    monkeypatch.delenv(variable)
    fake_langflow.script(HEALTHY)
    client.health_check()
    asked = fake_langflow.requests[-1]
    assert asked.path.endswith("/gateway/health_check")
    assert asked.headers["host"] == "langflow.example"
    assert b64decode(asked.headers["proxy-authorization"].removeprefix("Basic ")) == b"ann:w@rd"


def test_a_proxy_may_be_named_without_its_scheme(
    fake_langflow: FakeLangflow, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", fake_langflow.base_url.removeprefix("http://"))
    fake_langflow.script(HEALTHY)
    assert make_client(base_url="http://langflow.example").health_check() == {"status": "ok"}


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_a_server_that_needs_no_proxy_is_called_directly(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://nobody.invalid:3128")
    monkeypatch.setenv(variable, "elsewhere.example,127.0.0.1")
    assert make_client().health_check()["status"] == "ok"


def test_a_proxy_that_is_away_is_unreachable_and_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("ALL_PROXY", f"http://ann:hidden@127.0.0.1:{port}")
    for base_url in ("http://langflow.example", "https://langflow.example"):
        client = LangflowClient(base_url, retry=RetryPolicy(attempts=1))
        with client, pytest.raises(Unreachable, match="Connection refused") as caught:
            client.run("flow", "hello")
        assert caught.value.outcome == "not_run"
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5://ann:hidden@127.0.0.1:1080", "http://ann:hidden@", "http://ann:hidden@x:y"])
def test_a_proxy_that_can_not_be_used_is_refused_without_its_login(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ValueError, match="The proxy that the environment names must look like") as caught:
        LangflowClient("http://langflow.example")
    assert "hidden" not in str(caught.value)


@contextlib.contextmanager
def tunnelling_proxy(target: int) -> Iterator[tuple[int, list[bytes]]]:
    """Listen on a port, note what is asked, and connect one caller after the other to a port of this machine."""
    asked: list[bytes] = []

    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = listener.accept()
                    with caller, socket.create_connection(("127.0.0.1", target)) as server:
                        asked.append(caller.recv(65_536))
                        caller.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                        answering = threading.Thread(target=pass_on, args=(server, caller), daemon=True)
                        answering.start()
                        pass_on(caller, server)
                        answering.join()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], asked
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_tls_goes_through_a_proxy_that_sees_its_own_login_only(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with tls_server(certificates) as fake, tunnelling_proxy(int(fake.base_url.rpartition(":")[2])) as (port, asked):
        monkeypatch.setenv(variable, f"http://ann:word@127.0.0.1:{port}")
        # The certificate is the server's own, and so is the name that it is checked against.
        with LangflowClient("https://gateway:4433", Access(ca_bundle=certificates.authority)) as client:
            client.health_check()
            assert client.health_check()["status"] == "ok"
    assert [each.startswith(b"CONNECT gateway:4433 ") for each in asked] == [True]
    assert b"proxy-authorization: basic yw5uondvcmq=\r\n" in asked[0].lower()
    assert "proxy-authorization" not in fake.requests[-1].headers


def test_a_proxy_that_speaks_tls_is_trusted_as_a_server_is(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tls_server(certificates, wants_client=True) as fake:
        monkeypatch.setenv("HTTP_PROXY", fake.base_url)
        fake.script(HEALTHY)
        access = Access(
            ca_bundle=certificates.authority, client_cert=certificates.client, client_key=certificates.client_key
        )
        with LangflowClient("http://langflow.example", access) as client:
            assert client.health_check() == {"status": "ok"}


@pytest.mark.parametrize(
    ("variable", "named", "given"),
    [
        ("REQUESTS_CA_BUNDLE", "client", "authority"),
        ("REQUESTS_CA_BUNDLE", "authority", None),
        ("CURL_CA_BUNDLE", "authority", None),
    ],
)
def test_the_environments_bundle_is_used_where_the_client_has_none(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, variable: str, named: str, given: str | None
) -> None:
    monkeypatch.setenv(variable, str(getattr(certificates, named)))
    access = Access(ca_bundle=getattr(certificates, given) if given else None)
    with tls_server(certificates) as fake, LangflowClient(fake.base_url, access) as client:
        assert client.health_check()["status"] == "ok"


@pytest.mark.parametrize(("content", "fault"), [(None, "No such file"), ("not PEM", "no certificate")])
def test_a_bundle_that_can_not_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, fault: str
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with pytest.raises(ValueError, match=f"ca.pem.* can't be used: .*{fault}"):
        LangflowClient("https://langflow.example")


def test_a_folder_may_hold_the_authorities(certificates: Certificates, tmp_path: Path) -> None:
    hashed = subprocess.check_output(
        ["openssl", "x509", "-noout", "-hash", "-in", os.fspath(certificates.authority)], text=True
    )
    (tmp_path / f"{hashed.strip()}.0").symlink_to(certificates.authority)
    access = Access(ca_bundle=tmp_path)
    with tls_server(certificates) as fake, LangflowClient(fake.base_url, access) as client:
        assert client.health_check()["status"] == "ok"
