"""scripts/outbound.sh: the way out that DAGMA_OUTBOUND opens, and who reads it."""

import shutil
import subprocess
from typing import Any

import pytest
import yaml
from unit.scripts.compose import COMPOSE, SERVICES
from unit.scripts.conftest import ROOT, Machine

OPENED = 'write_outbound; echo "${COMPOSE_FILE:-}"'


@pytest.fixture
def settled(machine: Machine) -> Machine:
    """A machine with .env."""
    machine.run("make_env_file")
    shutil.copy(ROOT / "docker-compose.outbound.yml", machine.folder)
    (machine.folder / ".dev").mkdir()
    return machine


def opened(machine: Machine, outbound: str) -> dict[str, Any]:
    """The file that a setting makes."""
    done = machine.run(OPENED, DAGMA_OUTBOUND=outbound)
    assert (done.returncode, done.stdout) == (0, "docker-compose.yml:.dev/outbound.yml\n"), done
    parsed: dict[str, Any] = yaml.safe_load((machine.folder / ".dev" / "outbound.yml").read_text())
    return parsed


def test_each_host_has_one_door_under_its_name(settled: Machine) -> None:
    services = opened(settled, "s3.example.com:443, DB.example.com:5432,db.example.com:6432")["services"]
    assert services.keys() == {"outbound", "outbound-db.example.com", "outbound-s3.example.com"}
    door = services["outbound-db.example.com"]
    assert door["networks"] == {"control": {"aliases": ["db.example.com"]}, "doors": None}
    assert door["command"] == ["python", "-m", "dagma.execution.outbound", "door", "db.example.com"]


def test_no_container_is_on_the_control_network_and_has_a_route_out(settled: Machine) -> None:
    written = opened(settled, "db.example.com:5432,s3.example.com:443")
    assert written["networks"] == {"doors": {"internal": True}, "outbound": None}
    assert COMPOSE["networks"]["control"] == {"internal": True}
    joined = {name: set(service["networks"]) for name, service in written["services"].items()}
    assert joined.pop("outbound") == {"doors", "outbound"}
    assert set(map(frozenset, joined.values())) == {frozenset({"control", "doors"})}
    assert not [name for name, service in SERVICES.items() if {"doors", "outbound"} & set(service.get("networks", []))]


def test_its_containers_are_hardened_as_all_others_are(settled: Machine) -> None:
    for service in opened(settled, "db.example.com:5432")["services"].values():
        hardened = COMPOSE["x-service"] | {"pids_limit": service["pids_limit"]}
        assert hardened.items() <= service.items()
        assert service["pids_limit"] <= hardened["pids_limit"]
        assert service["mem_limit"] == service["memswap_limit"]
        assert not {"ports", "volumes", "secrets"} & service.keys()
        assert service["environment"] == {"DAGMA_OUTBOUND": "${DAGMA_OUTBOUND:-}"}


@pytest.mark.parametrize("before", [True, False], ids=["was open", "was closed"])
def test_without_the_setting_no_way_is_open(settled: Machine, before: bool) -> None:
    if before:
        opened(settled, "db.example.com:5432")
    settled.add_docker('"network rm dagma_doors dagma_outbound") echo removed >removed ;;')
    done = settled.run(OPENED.replace("echo", "forget_outbound; echo"))
    assert (done.returncode, done.stdout) == (0, "docker-compose.yml\n" if before else "\n"), done
    assert not (settled.folder / ".dev" / "outbound.yml").exists()
    assert (settled.folder / "removed").exists() == before


def test_where_settings_are_wrong_no_way_is_open(settled: Machine) -> None:
    opened(settled, "db.example.com:5432")
    assert settled.run("PROBLEMS=some; write_outbound", DAGMA_OUTBOUND="redis:6379").returncode == 0
    assert not (settled.folder / ".dev" / "outbound.yml").exists()


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("", "docker-compose.yml:docker-compose.override.yml:.dev/outbound.yml"),
        ("COMPOSE_FILE=docker-compose.yml:mine.yml", "docker-compose.yml:mine.yml:.dev/outbound.yml"),
    ],
)
def test_what_compose_reads_anyway_it_still_reads(settled: Machine, line: str, files: str) -> None:
    settled.write("docker-compose.override.yml", "")
    env = settled.folder / ".env"
    env.write_text(f"{env.read_text()}{line}\nDAGMA_OUTBOUND=db.example.com:5432 # the shop\n")
    assert settled.run(OPENED).stdout == f"{files}\n"
    # Again, and from a shell that has read it.
    assert settled.run("echo $COMPOSE_FILE").stdout == f"{files}\n"
    assert settled.run("read_outbound; echo $COMPOSE_FILE", COMPOSE_FILE=files).stdout == f"{files}\n"


@pytest.mark.parametrize("target", ["down", "ps", "logs", "clean"])
def test_every_command_that_must_see_it_reads_it(settled: Machine, target: str) -> None:
    opened(settled, "db.example.com:5432")
    settled.add_program("docker", 'echo "$COMPOSE_FILE"')
    make = shutil.which("make")
    assert make
    done = subprocess.run(
        [make, "--no-print-directory", "-f", str(ROOT / "Makefile"), target, "YES=1"],
        cwd=settled.folder,
        env=settled.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith(":.dev/outbound.yml\n")
