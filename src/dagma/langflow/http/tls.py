"""Whom to trust over TLS, and how to prove oneself."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context


def tls_context(
    *,
    verify: bool = True,
    ca_bundle: str | Path | None = None,
    cert: str | Path | None = None,
    key: str | Path | None = None,
) -> ssl.SSLContext:
    """Return how connections are made over TLS.

    Args:
        verify: Check the server's certificate. Turning it off is for tests on one machine only.
        ca_bundle: PEM file, or OpenSSL's kind of folder, of the authorities to trust, instead of those that
            `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE` names and of the usual.
        cert: PEM file of the client's certificate, for mutual TLS; may hold the key as well.
        key: PEM file of the client's private key, without a passphrase.

    Raises:
        ValueError: A file can't be used; the message names it.
    """
    if key is not None and cert is None:
        raise ValueError("client_key needs its certificate: set client_cert as well.")
    context = create_urllib3_context()
    if verify:
        environment = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        authorities = ca_bundle or environment or DEFAULT_CA_BUNDLE_PATH
        with _naming(f"{authorities}, which should hold the authorities' certificates,"):
            is_folder = Path(authorities).is_dir()
            context.load_verify_locations(None if is_folder else authorities, authorities if is_folder else None)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        with _naming(" and ".join(str(file) for file in (cert, key) if file)):
            # With an empty passphrase, or OpenSSL asks for one at the terminal.
            context.load_cert_chain(cert, key, password=lambda: "")
    return context


@contextmanager
def _naming(files: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{files} can't be used: {error.strerror}. TLS needs PEM files, and keys without a passphrase."
        ) from None
