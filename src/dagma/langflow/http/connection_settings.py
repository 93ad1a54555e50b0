"""Settings of a connection to Langflow: addresses, time-outs, patience with jobs, and TLS."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit


@dataclass(frozen=True)
class Timeouts:
    """How long to wait, in seconds.

    Args:
        connect: For the connection to stand, TLS handshake included.
        read: For the next byte. A v1 run sends none until the flow is done, so this bounds the flow as well.
        total: For the whole operation: all its attempts, waits and reads.
    """

    connect: float = 5.0
    read: float = 300.0
    total: float = 300.0

    def __post_init__(self) -> None:
        for name in ("connect", "read", "total"):
            if not getattr(self, name) > 0:
                raise ValueError(f"The time-out {name!r} must be above 0 seconds.")


@dataclass(frozen=True)
class JobPolicy:
    """How patiently a job is watched, in seconds.

    Args:
        total: Longest time to follow or collect a job, unless a call says otherwise.
        queued: Longest time in the queue. After a crash Langflow keeps queued jobs `queued` for ever, so a job that
            waits longer is stopped, which frees its idempotency key.
        outage: Longest time without an answer from Langflow; a restart takes it a minute.
        stall: Longest silence of the event stream before it is opened anew; Langflow sends a sign every 15 s.
        unattended: Longest time in which a job that is said to run has an event stream that ends as soon as it is
            opened. Where Langflow can't reach its database in the moment in which a job ends, it drops the job and
            leaves it `in_progress` for ever; it is stopped then, which frees its idempotency key.
        poll: Longest wait between two looks at a job's state.
    """

    total: float = 3600.0
    queued: float = 600.0
    outage: float = 180.0
    stall: float = 60.0
    unattended: float = 60.0
    poll: float = 2.0

    def __post_init__(self) -> None:
        for name in ("total", "queued", "outage", "stall", "unattended", "poll"):
            if not getattr(self, name) > 0:
                raise ValueError(f"The job policy's {name!r} must be above 0 seconds.")


@dataclass(frozen=True)
class TLS:
    """How to trust the server, and how to prove oneself to it.

    Args:
        verify: Check the server's certificate. Turning it off is for tests on one machine only.
        ca_bundle: PEM file of the authorities to trust instead of the system's.
        cert: PEM file of the client's certificate, for mutual TLS; may hold the key as well.
        key: PEM file of the client's private key, without a passphrase.
    """

    verify: bool = True
    ca_bundle: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None

    def __post_init__(self) -> None:
        if self.key is not None and self.cert is None:
            raise ValueError("A client key needs its certificate: set cert as well.")
        if self.ca_bundle is not None:
            check_authorities(self.ca_bundle)
        if self.cert is not None:
            _check_identity(self.cert, self.key)


def check_authorities(path: str | Path) -> None:
    """Refuse a file that holds no authorities; OpenSSL takes a folder of them as well.

    Raises:
        ValueError: It can't be read or holds none; the message names it.
    """
    if Path(path).is_dir():
        return
    _check_readable(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise ValueError(f"{path} holds no certificate. Give the authorities' certificates as PEM.") from None


def _check_identity(cert: str | Path, key: str | Path | None) -> None:
    _check_readable(cert)
    if key is not None:
        _check_readable(key)
    try:
        # With an empty passphrase, or OpenSSL asks for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError:
        files = f"{cert} holds no" if key is None else f"{cert} and {key} are no"
        raise ValueError(
            f"{files} certificate with its private key. Give both as PEM, and the key without a passphrase."
        ) from None


def _check_readable(path: str | Path) -> None:
    try:
        Path(path).open("rb").close()
    except FileNotFoundError:
        raise ValueError(f"No such file: {path}. TLS needs it as PEM.") from None
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror}). Let the user of this process read it.") from None


def checked_base_url(name: str, url: str, *, login: str = "give user and password as BasicAuth") -> str:
    """Return an address of Langflow that can be called.

    Args:
        name: What the address is called where it was set.
        url: The address.
        login: What to do about a user in it.

    Raises:
        ValueError: It can't be called. The message shows nothing of it, since it may hold a secret.
    """
    parts = checked_address(name, url, "http://host:port or https://host/path")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{name} must hold no user, password, query or fragment; {login}.")
    return url


def checked_token_url(name: str, url: str) -> str:
    """Return the address of a token endpoint that can be called; it may have a query.

    Args:
        name: What the address is called where it was set.
        url: The address.

    Raises:
        ValueError: It can't be called. The message shows nothing of it, since it may hold a secret.
    """
    parts = checked_address(name, url, "https://host/path")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError(f"{name} must hold no user, password or fragment; the client's id and secret are sent there.")
    return url


def checked_address(name: str, url: str, form: str) -> SplitResult:
    """Return the parts of an address that can be called.

    Args:
        name: What the address is called where it was set.
        url: The address.
        form: What it should look like.

    Raises:
        ValueError: It can't be called. The message shows nothing of it, since it may hold a secret.
    """
    # urlsplit drops newlines, and tells of a port that is none only when asked for it.
    if url.isprintable() and " " not in url:
        try:
            parts = urlsplit(url)
            if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
                return parts
        except ValueError:
            # Its message can quote a part of a password that has a slash.
            pass
    raise ValueError(f"{name} must look like {form}.")


def header_value(name: str, value: str) -> str:
    """Return a value that can stand in a header.

    Raises:
        ValueError: It can't. The message does not repeat it, since it may be a secret.
    """
    if not value or value != value.strip() or not value.isprintable() or not value.isascii():
        raise ValueError(
            f"{name} must be printable ASCII without spaces around it, and not empty; "
            "look for a stray newline in the variable that it comes from."
        )
    return value
