"""The gateway's certificate of an ACME authority: while that is away, then there, renewed, and after a restart."""

import contextlib
import socket
import ssl
from collections.abc import Iterator

import pytest
from cryptography import x509
from harness.gateway import Gateway, gateway, hash_of
from harness.oidc_provider import host_address
from harness.pebble import Pebble, pebble
from harness.stack import wait_until

SECONDS = 60.0
RELOAD = ("python3", "/opt/gateway/start.py", "reload")
PRIVATE_KEY = ("sh", "-c", "cat /var/lib/gateway/acme/*/domains/dagma.test/privkey*.pem")


@pytest.fixture(scope="module")
def port() -> int:
    """Where the authority will be."""
    with socket.socket() as free:
        free.bind((host_address(), 0))
        number: int = free.getsockname()[1]
        return number


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Gateway]:
    settings = {
        "GATEWAY_HOST": "dagma.test",
        "GATEWAY_ACME": "ops@example.com",
        "GATEWAY_ACME_DIRECTORY": f"https://{host_address()}:{port}/dir",
        "GATEWAY_ADMINS": "anna",
        "GATEWAY_USERS": f"anna:{hash_of('correct horse')}",
    }
    with gateway(tmp_path_factory.mktemp("acme"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def authority(running: Gateway, port: int) -> Iterator[Pebble]:
    """The authority, which has signed for the gateway."""
    with pebble(running, port) as authority:
        running.exec(*RELOAD)  # it would try again by itself, in half a minute
        wait_until("a certificate", lambda: signed(running, authority), seconds=SECONDS)
        yield authority


def trusting(authority: Pebble) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.root)


def served(running: Gateway, context: ssl.SSLContext, port: str = "GATEWAY_PORT") -> x509.Certificate:
    with running.tls(port, context) as connection:
        der = connection.getpeercert(binary_form=True)
    assert der
    return x509.load_der_x509_certificate(der)


def signed(running: Gateway, authority: Pebble, port: str = "GATEWAY_PORT") -> x509.Certificate | None:
    """The certificate that the gateway serves; None where the authority has not signed it."""
    with contextlib.suppress(OSError):
        return served(running, trusting(authority), port)
    return None


def test_while_the_authority_is_away_the_local_one_signs_and_the_log_says_what_to_do(running: Gateway) -> None:
    served(running, ssl.create_default_context(cafile=str(running.authority)))
    wait_until("advice", lambda: "GATEWAY_ACME: https://" in running.log(), seconds=SECONDS)
    assert "has signed no new certificate for dagma.test; the line above says why. Fix: " in running.log()
    assert "processing dagma.test: " in running.log()


def test_the_authority_signs_for_both_uis_after_asking_over_http(running: Gateway, authority: Pebble) -> None:
    for port in ("GATEWAY_PORT", "GATEWAY_LANGFLOW_PORT"):
        assert signed(running, authority, port)
    assert "GET /.well-known/acme-challenge/" in running.log()


def test_a_certificate_that_the_authority_takes_back_is_renewed_without_a_restart(
    running: Gateway, authority: Pebble
) -> None:
    before = signed(running, authority)
    assert before
    authority.revoke(before, running.exec(*PRIVATE_KEY).encode())
    running.exec(*RELOAD)

    def renewed() -> bool:
        now = signed(running, authority)
        return now is not None and now.serial_number != before.serial_number

    wait_until("another certificate", renewed, seconds=SECONDS)


def test_a_restart_keeps_the_certificate(running: Gateway, authority: Pebble) -> None:
    before = signed(running, authority)
    running.restart()
    assert signed(running, authority) == before


def test_nobody_is_shown_the_state_of_the_certificate(running: Gateway, authority: Pebble) -> None:
    with running.tls(context=trusting(authority)) as connection:
        connection.sendall(b"GET /.httpd/certificate-status HTTP/1.1\r\nHost: dagma.test\r\nConnection: close\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 401 ")
