"""The certificate that mod_md fetches by ACME: whether it is there, and what follows from mod_md's events."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS_FOR_A_NOTE = 10


def is_certified(host: str, store: Path, seconds: float = 0) -> bool:
    """Say whether the authority has signed for this host, waiting so many seconds for it. `store` is mod_md's."""
    return _comes_true(lambda: any((store / "domains" / host).glob("pubcert*.pem")), seconds)


def wait_for_note(host: str, store: Path) -> None:
    """Wait until mod_md has noted that it told of a new certificate, which it does after its command has ended.

    A reload takes the new certificate and its notes. A note that came later would stay, and for a day mod_md would not
    tell of the next certificate.
    """
    _comes_true(lambda: bool(_job(store / "staging" / host).get("notified-renewed")), SECONDS_FOR_A_NOTE)


def forget_failure(host: str, store: Path) -> None:
    """Have mod_md ask the authority when it starts again. After failures it would go on waiting, for up to a day."""
    folder = store / "staging" / host
    job = _job(folder)
    if job.get("errors") and not job.get("finished"):
        shutil.rmtree(folder)


def advice(host: str, directory: str) -> str:
    """What to do where the authority has not signed; httpd's log has the cause one line above."""
    return (
        f"GATEWAY_ACME: {directory} has signed no new certificate for {host}; the line above says why. "
        f"Fix: this container has to reach the authority and trust its CA (DAGMA_CA_BUNDLE), and the authority has to "
        f"reach http://{host}/ on port 80 (GATEWAY_HTTP_PORT=80). It is tried again by itself, and at once by: "
        "docker compose exec gateway python3 /opt/gateway/start.py reload"
    )


def _job(folder: Path) -> dict[str, Any]:
    """What mod_md keeps of its work for a host; nothing where there is none to do."""
    path = folder / "job.json"
    job: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return job


def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found
