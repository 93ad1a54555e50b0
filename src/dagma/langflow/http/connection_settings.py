"""Settings of a connection to Langflow: addresses, headers, and patience with jobs."""

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit


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


def checked_base_url(name: str, url: str, *, login: str = "give user and password separately") -> str:
    """Return an address that can be called, of Langflow or of a token endpoint.

    `name` is what it is called where it was set, and `login` where a user and a password belong instead.

    Raises:
        ValueError: It can't be called. The message shows nothing of it, since it may hold a secret.
    """
    parts = checked_address(name, url, "http://host:port or https://host/path")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{name} must hold no user, password, query or fragment; {login}.")
    return url


def checked_address(name: str, url: str, form: str) -> SplitResult:
    """Return the parts of an address that can be called; `form` is what it should look like.

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
