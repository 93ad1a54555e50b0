"""scripts/last-up.sh: what this `make up` need not do again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from unit.scripts.conftest import Machine

DOCKER = """"compose config") echo "services: $WORKERS" ;;
"compose ps --quiet") echo 4711 ;;
"ps --all "*) echo "worker running Up 1 minute (healthy)" ;;"""
SOURCED = "COPY=0123456789ab; "


@pytest.fixture
def up(machine: Machine) -> Machine:
    """A machine on which the stack is up."""
    for folder in (".secrets", "src", "docker", "dagster_home", "flows", "project"):
        (machine.folder / folder).mkdir(exist_ok=True)
    composed = ("docker-compose.yml", "docker-compose.gateway.yml", "docker-compose.outbound.yml")
    for file in (".env", "src/x.py", *composed, "pyproject.toml", "README.md", "project/requirements.txt"):
        machine.write(file, "1\n")
    (machine.folder / ".dev").mkdir(exist_ok=True)
    machine.add_docker(DOCKER)
    assert machine.run(SOURCED + "remember_this_up", WORKERS="1").returncode == 0
    return machine


def is_up(machine: Machine, workers: str = "1") -> bool:
    return machine.run(SOURCED + "all_but_the_project_is_up", WORKERS=workers).returncode == 0


def test_an_edit_of_the_project_leaves_everything_else_up(up: Machine) -> None:
    (up.folder / "project" / "mine.py").write_text("x = 1\n")
    (up.folder / "src" / "__pycache__").mkdir()
    (up.folder / "src" / "__pycache__" / "x.pyc").write_text("1")
    assert is_up(up)
    assert up.run(SOURCED + "running_copy").stdout == "0123456789ab\n"


def changed(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text("2\n")


@pytest.mark.parametrize(
    "change",
    [
        changed(".env"),
        changed("src/x.py"),
        changed("src/new.py"),
        changed("docker-compose.yml"),
        changed("docker-compose.gateway.yml"),
        changed("docker-compose.outbound.yml"),
        changed("project/requirements.txt"),
        changed(".secrets/LLM_API_KEY"),
        lambda folder: (folder / "src/x.py").unlink(),
        lambda folder: (folder / ".dev/last-up").unlink(),
    ],
    ids=["settings", "code", "new code", "compose", "gateway", "outbound", "packages", "secret", "no code", "first"],
)
def test_any_other_change_is_for_the_whole_of_make_up(up: Machine, change: Callable[[Path], object]) -> None:
    change(up.folder)
    assert not is_up(up)


def test_a_certificate_that_was_renewed_is_a_change_wherever_secrets_are(up: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "secrets of mine"
    folder.mkdir()
    up.env["DAGMA_SECRETS_DIR"] = str(folder)
    (folder / "cert.pem").write_text("old")
    assert up.run(SOURCED + "remember_this_up", WORKERS="1").returncode == 0
    assert is_up(up)
    (folder / "cert.pem").write_text("new")
    assert not is_up(up)


def test_a_setting_of_the_command_line_is_a_change(up: Machine) -> None:
    assert not is_up(up, workers="2")


@pytest.mark.parametrize(
    "docker",
    [
        DOCKER.replace("echo 4711", "true"),
        DOCKER.replace("4711", "4712"),
        DOCKER.replace("(healthy)", "(health: starting)"),
    ],
    ids=["gone", "replaced", "starting"],
)
def test_containers_that_are_not_those_of_the_last_time_are_a_change(up: Machine, docker: str) -> None:
    up.add_docker(docker)
    assert not is_up(up)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("REDIS_PASSWORD=pa$sword", "REDIS_PASSWORD in .env has a $"),
        ("REDIS_PASSWORD=", ".env lacks: REDIS_PASSWORD"),
        ("DAGMA_TABLES_URL=postgresql://me:pa$sword@db.example/mine", "DAGMA_TABLES_URL in .env has a $"),
        ("GATEWAY_TLS_KEY=gone.pem", "GATEWAY_TLS_KEY is gone.pem, and there is no such file"),
        ("GATEWAY_TLS_CERT=$HOME/cert.pem", "GATEWAY_TLS_CERT in .env has a $"),
    ],
    ids=["password", "no password", "address", "key", "certificate"],
)
def test_a_make_up_that_is_refused_leaves_every_secret_as_it_was(machine: Machine, change: str, said: str) -> None:
    machine.run("make_env_file")
    (machine.folder / ".dev").mkdir()
    for name in ("cert.pem", "key.pem", ".dev/last-up"):
        machine.write(name, "1\n")
    certificate = "GATEWAY_TLS_CERT=cert.pem\nGATEWAY_TLS_KEY=key.pem\n"
    settings = (machine.folder / ".env").read_text() + certificate
    machine.write(".env", settings)
    assert machine.run("write_secrets").returncode == 0
    folder = machine.folder / ".secrets"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert folder / "gateway-tls/cert.pem" in before

    machine.write(".env", f"{settings}LLM_API_KEY=new\n{change}\n")
    done = machine.run_program("scripts/up.sh")
    assert (done.returncode, said in done.stderr) == (1, True), done
    assert {path: path.read_bytes() for path in before} == before
