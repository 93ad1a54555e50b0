#!/usr/bin/env python3
"""Run the gateway, or look whether it could run.

Usage: start.py serve | check | reload | certified | acme EVENT HOST
    serve   write what httpd.conf names from the settings, then become httpd
    check   write it, and have httpd read it; say what is wrong, and change nothing that runs
    reload  have the running httpd read its configuration and certificates again; requests in flight go on
    certified
            exit with 1 where the ACME authority has not signed yet, after half a minute
    acme    what mod_md calls when something has happened to a certificate: a renewed one is served by a reload
"""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from acme import advice, forget_failure, is_certified, wait_for_note
from certificate import CertificateError, certificate_files
from settings import GROUP_SEPARATOR, SettingError, Settings

HTTPD = "/usr/sbin/apache2"
CONFIGURATION = "/opt/gateway/httpd.conf"
RUNNING = Path("/tmp/gateway")  # noqa: S108  # a tmpfs of this container
KEPT = Path("/var/lib/gateway")
SECRETS = Path("/run/secrets")
OWN_CERTIFICATE = Path("/run/gateway/tls")
SECONDS_TO_SIGN = 30
AUTHORITIES = (Path("/etc/ssl/debian-authorities.pem"), Path("/run/dagma/ca-bundle.pem"))
SESSIONS = """
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS session (
        key TEXT PRIMARY KEY, value TEXT NOT NULL, expiry INTEGER NOT NULL, created INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS known (name TEXT PRIMARY KEY, digest TEXT NOT NULL);
    DELETE FROM session WHERE expiry < unixepoch() * 1000000;
"""


def write_configuration(listen: str) -> None:
    """Write what httpd.conf includes, into files that only this user reads.

    Args:
        listen: The address on which people's ports are opened.

    Raises:
        SettingError: Settings can't be used.
        CertificateError: The certificate can't be used.
    """
    os.umask(0o077)
    RUNNING.mkdir(exist_ok=True)
    (KEPT / "oidc").mkdir(exist_ok=True)
    settings = Settings(os.environ, SECRETS)
    definitions = settings.definitions()
    certificate, key = certificate_files(settings.host, own=OWN_CERTIFICATE, kept=KEPT)
    definitions |= {
        "LISTEN": listen,
        "TLS_CERT": str(certificate),
        "TLS_KEY": str(key),
        "GROUP_SEPARATOR": GROUP_SEPARATOR,
        "DAGSTER_UPSTREAM": os.environ.get("GATEWAY_DAGSTER_UPSTREAM") or "http://dagster-webserver:3000",
        "LANGFLOW_UPSTREAM": os.environ.get("GATEWAY_LANGFLOW_UPSTREAM") or "http://langflow:7860",
    }
    lines = [f'Define {name} "{value}"' if value else f"Define {name}" for name, value in definitions.items()]
    (RUNNING / "settings.conf").write_text("\n".join(lines) + "\n")
    (RUNNING / "authorities.pem").write_bytes(b"\n".join(path.read_bytes() for path in AUTHORITIES if path.exists()))
    with sqlite3.connect(KEPT / "sessions.db") as database:
        database.executescript(SESSIONS)
    database.close()


def end_outdated_sessions() -> None:
    """End every session where the secret that encrypts them, or the password of a user, is no longer what it was.

    A session that can't be decrypted would keep its browser from a new login, and one that began with an old password
    would outlive it. Whose sessions they are can't be seen in the database.
    """
    settings = Settings(os.environ, SECRETS)
    # No user's name is empty.
    known = {"": settings.definitions()["SESSION_SECRET"], **settings.users}
    now = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in known.items()}
    with closing(sqlite3.connect(KEPT / "sessions.db")) as database, database:
        before = dict(database.execute("SELECT name, digest FROM known"))
        if any(before.get(name, digest) != digest for name, digest in now.items()):
            database.execute("DELETE FROM session")
        database.executemany("INSERT OR REPLACE INTO known VALUES (?, ?)", now.items())


def have_httpd_read_it() -> None:
    """Have httpd read its configuration.

    Raises:
        SettingError: It can't be read; the message has httpd's own words.
    """
    done = subprocess.run([HTTPD, "-t", "-f", CONFIGURATION], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise SettingError(done.stderr.strip())


def acme_store(definitions: dict[str, str]) -> Path:
    """Where mod_md keeps what it has of the authority."""
    return KEPT / "acme" / definitions["ACME_STORE"]


def ask_authority_again() -> None:
    """Have httpd ask the ACME authority when it starts or reads its configuration, even if it has failed lately."""
    definitions = Settings(os.environ, SECRETS).definitions()
    if "ACME" in definitions:
        forget_failure(definitions["HOST"], acme_store(definitions))


def follow_acme(event: str, host: str) -> None:
    """Do what follows from an event of mod_md, which waits for the end of this process."""
    definitions = Settings(os.environ, SECRETS).definitions()
    if event == "errored":
        print(advice(host, definitions["ACME_DIRECTORY"]), flush=True)
    elif event == "renewed" and os.fork() == 0:
        os.setsid()
        os.dup2(sys.stdout.fileno(), sys.stderr.fileno())  # mod_md waits for the end of stderr too
        wait_for_note(host, acme_store(definitions))
        main("reload")


def main(command: str) -> None:
    """Do what the usage says."""
    match command:
        case "serve":
            # A name that this container has on the network that faces people alone.
            write_configuration(os.environ.get("GATEWAY_LISTEN") or "gateway-public")
            end_outdated_sessions()
            ask_authority_again()
            os.execv(HTTPD, [HTTPD, "-DFOREGROUND", "-f", CONFIGURATION])  # noqa: S606
        case "check":
            write_configuration("127.0.0.1")
            have_httpd_read_it()
        case "reload":
            have_httpd_read_it()
            ask_authority_again()
            os.kill(int((RUNNING / "httpd.pid").read_text()), signal.SIGUSR1)
        case "certified":
            definitions = Settings(os.environ, SECRETS).definitions()
            sys.exit(not is_certified(definitions["HOST"], acme_store(definitions), SECONDS_TO_SIGN))
        case "acme":
            follow_acme(*sys.argv[2:4])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "")
    except (SettingError, CertificateError) as error:
        sys.exit(str(error))
