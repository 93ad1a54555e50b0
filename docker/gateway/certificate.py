"""The gateway's certificate: one's own, or one of a local authority that this container makes and keeps.

The authority may sign this one host and no other, so that to trust it is to trust nothing else.
"""

import subprocess
import tempfile
from pathlib import Path

OPENSSL = "/usr/bin/openssl"
DAYS_OF_AUTHORITY = 3650
DAYS = 397
DAYS_LEFT = 30


class CertificateError(Exception):
    """A certificate that can't be used; the message has the cause and the fix."""


def certificate_files(host: str, *, own: Path, kept: Path) -> tuple[Path, Path]:
    """Find the certificate and its key, or make them.

    Args:
        host: The name or the IPv4 address that people type.
        own: Folder that has cert.pem and key.pem, if people brought their own.
        kept: Folder for those of the local authority, whose certificate is authority.pem there.

    Returns:
        Paths of the certificate and of its key.

    Raises:
        CertificateError: One's own can't be used.
    """
    if (own / "cert.pem").exists() or (own / "key.pem").exists():
        return _own_files(host, own)
    folder = kept / "tls" / host
    if not _lasts(folder / "authority.pem", DAYS):
        _make_authority(host, folder)
    if not _lasts(folder / "cert.pem", DAYS_LEFT):
        _sign(host, folder)
    (kept / "authority.pem").write_bytes((folder / "authority.pem").read_bytes())
    return folder / "cert.pem", folder / "key.pem"


def _own_files(host: str, own: Path) -> tuple[Path, Path]:
    certificate, key = own / "cert.pem", own / "key.pem"
    public = _openssl("x509", "-in", str(certificate), "-noout", "-pubkey")
    if public is None:
        raise CertificateError(
            "GATEWAY_TLS_CERT: it is no certificate. Fix: a PEM file with it and those that signed it"
        )
    if _openssl("pkey", "-in", str(key), "-passin", "pass:", "-pubout") != public:
        raise CertificateError(
            "GATEWAY_TLS_KEY: it is not the certificate's key. Fix: the PEM file of that key, without a password"
        )
    check = "-checkip" if host.replace(".", "").isdecimal() else "-checkhost"
    said = _openssl("x509", "-in", str(certificate), "-noout", check, host) or ""
    if "does match" not in said:
        raise CertificateError(f"GATEWAY_TLS_CERT: it is not for {host}. Fix: a certificate for GATEWAY_HOST")
    if not _lasts(certificate, 0):
        raise CertificateError("GATEWAY_TLS_CERT: it has expired. Fix: renew it")
    return certificate, key


def _lasts(certificate: Path, days: int) -> bool:
    return (
        certificate.exists()
        and _openssl("x509", "-in", str(certificate), "-noout", "-checkend", str(days * 86400)) is not None
    )


def _make_authority(host: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cert.pem").unlink(missing_ok=True)
    permitted = f"IP:{host}/255.255.255.255" if host.replace(".", "").isdecimal() else f"DNS:{host}"
    _must(
        *(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            str(DAYS_OF_AUTHORITY),
        ),
        *("-keyout", str(folder / "authority.key"), "-out", str(folder / "authority.pem")),
        # A name may have 64 characters at most.
        *("-subj", f"/O=Dagma/CN={f'Local authority of {host}'[:64]}"),
        *("-addext", "basicConstraints=critical,CA:TRUE,pathlen:0", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-addext", f"nameConstraints=critical,permitted;{permitted}"),
    )


def _sign(host: str, folder: Path) -> None:
    name = f"IP:{host}" if host.replace(".", "").isdecimal() else f"DNS:{host}"
    with tempfile.TemporaryDirectory() as temporary:
        request, extensions = Path(temporary, "request.pem"), Path(temporary, "extensions")
        extensions.write_text(
            f"subjectAltName=critical,{name}\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(folder / "key.pem"))
        _must("req", "-new", *key, "-out", str(request), "-subj", "/O=Dagma")
        _must(
            *("x509", "-req", "-in", str(request), "-CA", str(folder / "authority.pem")),
            *("-CAkey", str(folder / "authority.key"), "-days", str(DAYS), "-extfile", str(extensions)),
            *("-out", str(folder / "cert.pem")),
        )


def _openssl(*arguments: str) -> str | None:
    """Run openssl; return what it prints, or None where it fails."""
    command = [OPENSSL, *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout if done.returncode == 0 else None


def _must(*arguments: str) -> None:
    command = [OPENSSL, *arguments]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)  # noqa: S603
