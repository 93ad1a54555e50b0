"""Pebble, the ACME authority that Let's Encrypt tests clients with, as Debian packages it."""

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jwt
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from testcontainers.core.container import DockerContainer

from harness.gateway import Gateway
from harness.stack import docker, wait_until

IMAGE = "dagma-test/pebble"
DOCKERFILE = """
FROM python:3.13-slim-trixie
RUN apt-get update && apt-get install -y --no-install-recommends pebble && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["pebble", "-config", "/pebble/config.json"]
"""
DIRECTORY_PORT, MANAGEMENT_PORT = 14000, 15000


@dataclass
class Pebble:
    """A running Pebble. It forgets everything when it ends, its root included."""

    address: str
    management: str
    authority: Path
    """Of the certificate under its own address."""

    @property
    def root(self) -> str:
        """The certificate, as PEM, that those whom it signs for are to be trusted by."""
        return requests.get(f"{self.management}/roots/0", verify=str(self.authority), timeout=9).text

    def revoke(self, certificate: x509.Certificate, key: bytes) -> None:
        """Revoke a certificate, as who has its key (PEM, EC P-256) may. ACME then advises to renew it at once."""
        private = load_pem_private_key(key, None)
        assert isinstance(private, EllipticCurvePrivateKey)
        verify = str(self.authority)
        links = requests.get(f"{self.address}/dir", verify=verify, timeout=9).json()
        headers = {
            "typ": None,
            "url": links["revokeCert"],
            "nonce": requests.head(links["newNonce"], verify=verify, timeout=9).headers["Replay-Nonce"],
            "jwk": jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True),
        }
        der = base64.urlsafe_b64encode(certificate.public_bytes(Encoding.DER)).decode().rstrip("=")
        signed = jwt.api_jws.encode(json.dumps({"certificate": der}).encode(), private, "ES256", headers)
        body = dict(zip(("protected", "payload", "signature"), signed.split("."), strict=True))
        answer = requests.post(
            links["revokeCert"],
            json.dumps(body),
            headers={"Content-Type": "application/jose+json"},
            verify=verify,
            timeout=9,
        )
        assert answer.ok, answer.text


@contextlib.contextmanager
def pebble(gateway: Gateway, port: int) -> Iterator[Pebble]:
    """Start a Pebble at https://`host_address()`:`port`/dir that knows where this gateway's host is.

    Its certificate there is of the authority that the gateway trusts.
    """
    own, address = gateway.provider, gateway.provider.address
    folder = gateway.folder / "pebble"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    docker("build", "--quiet", "--tag", IMAGE, str(folder))
    config = {
        "listenAddress": f"0.0.0.0:{DIRECTORY_PORT}",
        "managementListenAddress": f"0.0.0.0:{MANAGEMENT_PORT}",
        "certificate": "/own/cert.pem",
        "privateKey": "/own/key.pem",
        # Where it asks for the answer to its challenge: no port 80 of this machine is taken.
        "httpPort": 8080,
        "retryAfter": {"authz": 1, "order": 1},
    }
    (folder / "config.json").write_text(json.dumps({"pebble": config}))
    container = DockerContainer(IMAGE).with_env("PEBBLE_VA_NOSLEEP", "1").with_env("PEBBLE_WFE_NONCEREJECT", "0")
    container.with_volume_mapping(str(folder), "/pebble").with_volume_mapping(str(own.key.parent), "/own")
    container.with_kwargs(extra_hosts={gateway.host: gateway.address})
    container.ports = {DIRECTORY_PORT: (address, port), MANAGEMENT_PORT: (address, None)}
    with container:
        wrapped = container.get_wrapped_container()
        wrapped.reload()
        management = wrapped.ports[f"{MANAGEMENT_PORT}/tcp"][0]["HostPort"]
        running = Pebble(f"https://{address}:{port}", f"https://{address}:{management}", own.authority)

        def answers() -> bool:
            with contextlib.suppress(requests.ConnectionError):
                return bool(running.root)
            return False

        wait_until("pebble", answers, seconds=30, every=0.1)
        yield running
