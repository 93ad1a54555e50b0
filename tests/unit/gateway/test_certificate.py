"""docker/gateway/certificate.py: a local authority for one host, and one's own certificate, which has to fit."""

import subprocess
from pathlib import Path

import pytest
from unit.gateway import conftest  # noqa: F401  # it makes the module below known

from certificate import CertificateError, certificate_files  # type: ignore[import-not-found]  # isort: skip

NOWHERE = Path("/nowhere")


def openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True).stdout


def serial(certificate: Path) -> str:
    return openssl("x509", "-in", str(certificate), "-noout", "-serial")


@pytest.mark.parametrize(
    ("host", "purpose"),
    [("dagma.example.com", "-checkhost"), (f"{'a' * 60}.{'b' * 60}.example", "-checkhost"), ("10.1.2.3", "-checkip")],
)
def test_browsers_that_trust_the_authority_trust_the_host(tmp_path: Path, host: str, purpose: str) -> None:
    certificate, _ = certificate_files(host, own=NOWHERE, kept=tmp_path)
    assert "does match" in openssl("x509", "-in", str(certificate), "-noout", purpose, host)
    openssl("verify", "-x509_strict", "-CAfile", str(tmp_path / "authority.pem"), str(certificate))


def test_the_authority_can_sign_for_no_other_host(tmp_path: Path) -> None:
    certificate_files("dagma.example.com", own=NOWHERE, kept=tmp_path)
    said = openssl("x509", "-in", str(tmp_path / "authority.pem"), "-noout", "-ext", "nameConstraints,basicConstraints")
    assert "Permitted:\n      DNS:dagma.example.com\n" in said
    assert "pathlen:0" in said


def test_a_restart_changes_nothing_that_browsers_trust(tmp_path: Path) -> None:
    first = [
        serial(path)
        for path in (certificate_files("a.example", own=NOWHERE, kept=tmp_path)[0], tmp_path / "authority.pem")
    ]
    again = [
        serial(path)
        for path in (certificate_files("a.example", own=NOWHERE, kept=tmp_path)[0], tmp_path / "authority.pem")
    ]
    assert again == first


def test_another_host_gets_an_authority_of_its_own(tmp_path: Path) -> None:
    certificate_files("a.example", own=NOWHERE, kept=tmp_path)
    first = serial(tmp_path / "authority.pem")
    certificate, _ = certificate_files("b.example", own=NOWHERE, kept=tmp_path)
    assert serial(tmp_path / "authority.pem") != first
    openssl("verify", "-CAfile", str(tmp_path / "authority.pem"), str(certificate))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a certificate of somebody's own for dagma.example.com."""
    folder = tmp_path / "own"
    folder.mkdir()
    certificate, key = certificate_files("dagma.example.com", own=NOWHERE, kept=tmp_path / "theirs")
    (folder / "cert.pem").write_bytes(certificate.read_bytes())
    (folder / "key.pem").write_bytes(key.read_bytes())
    return folder


def refusal(host: str, own: Path) -> str:
    with pytest.raises(CertificateError) as caught:
        certificate_files(host, own=own, kept=own / "kept")
    assert ". Fix: " in str(caught.value)
    return str(caught.value)


def test_ones_own_is_taken(own: Path) -> None:
    assert certificate_files("dagma.example.com", own=own, kept=own / "kept") == (own / "cert.pem", own / "key.pem")


def test_ones_own_has_to_fit(own: Path) -> None:
    assert refusal("other.example.com", own).startswith("GATEWAY_TLS_CERT: it is not for other.example.com")
    (own / "key.pem").write_text(openssl("genpkey", "-algorithm", "ed25519"))
    assert refusal("dagma.example.com", own).startswith("GATEWAY_TLS_KEY: it is not the certificate's key")
    (own / "cert.pem").write_text("no certificate")
    assert refusal("dagma.example.com", own).startswith("GATEWAY_TLS_CERT: it is no certificate")
