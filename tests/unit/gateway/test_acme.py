"""docker/gateway/acme.py: what follows from mod_md's events."""

import json
import re
import threading
from pathlib import Path

import pytest
from unit.gateway import conftest  # noqa: F401  # it makes the module below known
from unit.scripts.compose import ROOT

from acme import advice, forget_failure, is_certified, wait_for_note  # type: ignore[import-not-found]  # isort: skip


def test_a_reload_waits_until_mod_md_has_noted_that_it_told_of_the_certificate(tmp_path: Path) -> None:
    job = tmp_path / "staging/dagma.example.com/job.json"
    job.parent.mkdir(parents=True)
    job.write_text(json.dumps({"finished": True, "notified-renewed": False}))

    def note() -> None:
        written = job.with_suffix(".new")
        written.write_text(json.dumps({"finished": True, "notified-renewed": True}))
        written.replace(job)

    timer = threading.Timer(0.2, note)
    timer.start()
    wait_for_note("dagma.example.com", tmp_path)
    assert json.loads(job.read_text())["notified-renewed"]
    timer.join()


@pytest.mark.parametrize(
    ("job", "is_kept"),
    [({"errors": 1, "finished": False}, False), ({"errors": 0, "finished": False}, True), ({"finished": True}, True)],
)
def test_only_a_failure_is_forgotten(tmp_path: Path, job: dict[str, object], is_kept: bool) -> None:
    folder = tmp_path / "staging/dagma.example.com"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(job))
    forget_failure("dagma.example.com", tmp_path)
    assert folder.exists() == is_kept


def test_what_is_advised_works_without_the_overlay_that_has_the_gateway() -> None:
    """`exec` finds the container by its labels; other commands look for the service in the Compose files."""
    said = advice("dagma.example.com", "https://ca.example.com/directory")
    (command,) = re.findall(r"docker compose .*", said)
    assert command == "docker compose exec gateway python3 /opt/gateway/start.py reload"
    page = (ROOT / "docs" / "gateway.md").read_text()
    assert re.findall(r"docker compose \w+ gateway[^`]*", page) == [command]


def test_a_certificate_of_another_host_does_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "domains/old.example.com"
    folder.mkdir(parents=True)
    (folder / "pubcert.secp256r1.pem").write_text("a certificate")
    assert is_certified("old.example.com", tmp_path)
    assert not is_certified("dagma.example.com", tmp_path)
