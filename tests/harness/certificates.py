"""Certificates of an authority of the tests' own, and a fake Langflow that speaks TLS with them."""

import contextlib
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dagma.testing import FakeLangflow


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
    """Make an authority, a server's certificate for 127.0.0.1 and the name gateway, and a client's."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    def key(name: str) -> tuple[str, ...]:
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key")

    # What Python 3.13 asks of certificates by default, and older ones do not.
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-x509", *key("authority"), "-out", "authority.pem", "-days", "2", "-subj", "/CN=Authority", *usage)
    for name in ("server", "client"):
        (folder / f"{name}.cnf").write_text(
            "subjectAltName=IP:127.0.0.1,DNS:gateway\nkeyUsage=digitalSignature\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
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


@contextlib.contextmanager
def tls_server(
    certificates: Certificates, *, wants_client: bool = False, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Iterator[FakeLangflow]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    context.load_cert_chain(certificates.server, certificates.server_key)
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates.authority)
    with FakeLangflow(ssl_context=context) as fake:
        yield fake
