"""scripts/preflight.sh: each failure with its cause and its fix, before anything is changed."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.scripts.conftest import ROOT, Machine

NO_ROOT = "is_root() { false; }; "
ENGINE = """info*ServerVersion*) echo 26.1.5 ;;
version*) echo "${ENGINE_VERSION:-26.1.5}" ;;
"compose version --short") echo "${COMPOSE_VERSION:-2.26.1}" ;;
"buildx version") exit "${NO_BUILDX:-0}" ;;
info*MemTotal*) echo 2147483648 ;;
info*DockerRootDir*) echo / ;;"""


ENOUGH = "MIN_MEMORY_MIB=1; MIN_DISK_GIB=0"


@pytest.fixture
def port() -> Iterator[int]:
    """A port of 127.0.0.1 at which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def ports(free_port: int) -> dict[str, str]:
    """A free port for each UI."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return {"DAGSTER_PORT": str(free_port), "LANGFLOW_PORT": str(server.getsockname()[1])}


def test_no_engine_and_no_root_is_refused_with_what_to_install(machine: Machine) -> None:
    stderr = machine.refusal(NO_ROOT + "check_engine")
    assert "no Docker engine answers" in stderr
    assert "install and start Docker with Compose 2" in stderr


def test_no_engine_for_root_elsewhere_than_on_debian_is_refused(machine: Machine) -> None:
    stderr = machine.refusal("is_root() { true; }; os_id() { echo fedora; }; check_engine")
    assert "install and start Docker with Compose 2" in stderr


@pytest.mark.parametrize("distribution", ["debian", "ubuntu"])
def test_no_engine_for_root_on_debian_is_announced_and_installed_later(machine: Machine, distribution: str) -> None:
    done = machine.run(f"is_root() {{ true; }}; os_id() {{ echo {distribution}; }}; check_engine")
    assert done.returncode == 0
    assert "it will be installed and started" in done.stdout


@pytest.mark.parametrize(
    ("distribution", "version", "packages", "adds_a_source"),
    [
        ("debian", "13", "docker.io docker-cli docker-compose docker-buildx", False),
        ("debian", "12", "docker.io docker-cli docker-compose docker-buildx", True),
        ("debian", "", "docker.io docker-cli docker-compose docker-buildx", False),
        ("ubuntu", "24.04", "docker.io docker-compose-v2 docker-buildx", False),
    ],
)
def test_what_will_be_installed_is_named_without_a_terminal(
    machine: Machine, distribution: str, version: str, packages: str, adds_a_source: bool
) -> None:
    system = f"is_root() {{ true; }}; os_id() {{ echo {distribution}; }}; os_version() {{ echo {version}; }}; "
    done = machine.run(system + "check_engine")
    assert f"  packages    {packages}, and what they depend on\n" in done.stdout
    assert ("/etc/apt/sources.list.d/dagma-trixie.sources" in done.stdout) is adds_a_source


@pytest.mark.parametrize(
    ("distribution", "candidate", "arguments"),
    [
        ("debian", "2.26.1", "docker.io docker-cli docker-compose docker-buildx"),
        ("debian", "1.29.2", "-t trixie docker.io docker-cli docker-compose docker-buildx"),
        ("ubuntu", "(none)", "docker.io docker-compose-v2 docker-buildx"),
    ],
)
def test_what_is_installed_is_what_was_named(
    machine: Machine, distribution: str, candidate: str, arguments: str
) -> None:
    machine.add_program("apt-get", 'echo "apt-get $*"')
    machine.add_program("apt-cache", f'echo "  Candidate: {candidate}"')
    system = f"os_id() {{ echo {distribution}; }}; add_trixie() {{ echo added; }}; "
    done = machine.run(system + "install_engine")
    assert done.stdout.splitlines()[-1] == f"apt-get install -y --no-install-recommends {arguments}"
    assert ("added" in done.stdout) is arguments.startswith("-t")


def test_an_engine_that_is_installed_is_only_started(machine: Machine) -> None:
    machine.add_program("dockerd", "exit 0")
    done = machine.run("is_root() { true; }; os_id() { echo debian; }; check_engine")
    first, *rest = done.stdout.splitlines()
    assert first == "preflight: no Docker engine answers; it will be started"
    assert [line.split()[0] for line in rest] == ["firewall"]


def test_docker_desktop_that_is_not_started_is_named(machine: Machine) -> None:
    machine.add_docker("nothing) ;;")
    assert "start Docker Desktop" in machine.refusal(NO_ROOT + "uname() { echo Darwin; }; check_engine")


@pytest.mark.parametrize(
    ("cases", "env", "told"),
    [
        (ENGINE, {"ENGINE_VERSION": "20.10.24"}, "the Docker engine is 20.10.24; 25 or later is needed"),
        (ENGINE, {"COMPOSE_VERSION": "v2.9.0"}, "docker compose is 2.9.0; 2.24 or later is needed"),
        ("info*) echo 26.1.5 ;;\nversion*) echo 26.1.5 ;;", {}, "docker has no compose plugin"),
        (ENGINE, {"NO_BUILDX": "1"}, "docker has no buildx plugin"),
    ],
    ids=["old engine", "old compose", "no compose", "no buildx"],
)
def test_a_docker_that_will_not_do_is_refused(machine: Machine, cases: str, env: dict[str, str], told: str) -> None:
    machine.add_docker(cases)
    assert told in machine.refusal("check_engine", **env)


def test_an_engine_that_will_do_is_passed_in_silence(machine: Machine) -> None:
    machine.add_docker(ENGINE)
    done = machine.run("check_engine")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("check_memory", r"the engine has 2048 MiB of memory; \d+ MiB are needed"),
        ("MIN_DISK_GIB=100000000; check_disk", r"/ has \d+ GiB free; 100000000 GiB are needed"),
    ],
    ids=["memory", "disk"],
)
def test_a_machine_that_is_too_small_is_refused_with_both_numbers(machine: Machine, check: str, told: str) -> None:
    machine.add_docker(ENGINE)
    assert re.search(told, machine.refusal(check))


def test_a_port_in_use_is_refused_with_the_variable_that_changes_it(machine: Machine, port: int) -> None:
    stderr = machine.refusal("check_port DAGSTER_PORT 3000 dagster-webserver 3000", DAGSTER_PORT=str(port))
    assert f"port {port} of 127.0.0.1 is in use" in stderr
    assert "set DAGSTER_PORT in .env to a free port" in stderr


def test_a_port_that_this_very_stack_holds_is_fine(machine: Machine, port: int) -> None:
    machine.write(".env", f"DAGSTER_PORT={port}\n")
    machine.add_docker(f'"compose port dagster-webserver 3000") echo 127.0.0.1:{port} ;;')
    assert machine.run("check_port DAGSTER_PORT 3000 dagster-webserver 3000").returncode == 0


@pytest.mark.parametrize("value", ["http", "30x0", "-1", "0", "65536", "3000000"])
def test_a_port_that_is_no_number_is_refused(machine: Machine, value: str) -> None:
    machine.write(".env", f"LANGFLOW_PORT={value}\n")
    stderr = machine.refusal("check_port LANGFLOW_PORT 7860 langflow 7860")
    assert f'LANGFLOW_PORT is "{value}", which is no port number' in stderr


@pytest.mark.parametrize("value", ["many", "0", "-1", "1.5"])
def test_a_number_of_workers_that_is_none_is_refused(machine: Machine, value: str) -> None:
    machine.write(".env", f"WORKERS={value}\n")
    assert f'WORKERS is "{value}", which is no whole number above 0' in machine.refusal("check_whole_number WORKERS 1")


@pytest.mark.parametrize("name", ["WORKERS", "WORKER_CONCURRENCY"])
def test_a_number_of_runs_is_checked_before_it_is_computed_with(machine: Machine, name: str) -> None:
    assert f'{name} is "two", which is no whole number above 0' in machine.refusal("limit_runs", **{name: "two"})
    machine.write(".env", f"{name}=3  # three\n")
    other = {"WORKERS": 2, "WORKER_CONCURRENCY": 1}[name]
    assert machine.run('limit_runs; echo "$DAGMA_MAX_CONCURRENT_RUNS"').stdout == f"{3 * other}\n"


def test_a_setting_that_compose_cannot_use_is_told_by_its_own_words(machine: Machine) -> None:
    machine.add_docker('"compose config --quiet") echo "services.worker.mem_limit: invalid size: 4x" >&2; exit 1 ;;')
    stderr = machine.refusal("check_compose_file")
    assert "docker compose can't use these settings: services.worker.mem_limit: invalid size: 4x" in stderr


def test_an_env_that_lacks_secrets_is_refused_with_their_names(machine: Machine) -> None:
    machine.run("make_env_file")
    env = machine.folder / ".env"
    kept = [line for line in env.read_text().splitlines() if not line.startswith(("REDIS_PASSWORD", "LANGFLOW_SECRET"))]
    env.write_text("\n".join(kept) + "\n")
    stderr = machine.refusal("check_env_file")
    assert "error: .env lacks: REDIS_PASSWORD LANGFLOW_SECRET_KEY\n" in stderr
    fix = stderr.rpartition("a value of its own: ")[2]
    # 32 bytes, which is a key of Langflow's, and with nothing but what the gateway's secret may have.
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n?", machine.run(fix).stdout)


def test_an_env_of_before_the_gateway_goes_on_without_it(machine: Machine) -> None:
    machine.run("make_env_file")
    env = machine.folder / ".env"
    env.write_text("".join(line for line in env.read_text().splitlines(keepends=True) if "GATEWAY" not in line))
    assert machine.run("check_env_file").returncode == 0
    assert ".env lacks: DAGMA_GATEWAY_SECRET" in machine.refusal("check_env_file", GATEWAY="1")


def test_a_complete_env_is_fine(machine: Machine) -> None:
    machine.run("make_env_file")
    done = machine.run("check_env_file")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_lost_env_is_not_replaced_while_its_data_are_there(machine: Machine) -> None:
    machine.add_docker('"volume inspect dagma_postgres-data") exit 0 ;;')
    stderr = machine.refusal("check_env_file")
    assert "volume dagma_postgres-data holds data" in stderr
    assert "put that .env back" in stderr
    assert "make up COMPOSE_PROJECT_NAME=second" in stderr


def test_preflight_changes_nothing(machine: Machine, ports: dict[str, str]) -> None:
    machine.add_docker(ENGINE)
    before = sorted(machine.folder.iterdir())
    done = machine.run(f"{ENOUGH}; preflight && echo passed", **ports)
    assert done.stdout == "passed\n", done
    assert sorted(machine.folder.iterdir()) == before


def test_preflight_refuses_one_port_for_both(machine: Machine, free_port: int) -> None:
    machine.add_docker(ENGINE)
    port = str(free_port)
    stderr = machine.refusal(f"{ENOUGH}; preflight", DAGSTER_PORT=port, LANGFLOW_PORT=port)
    assert f"LANGFLOW_PORT is {port}, and so is another port of this stack" in stderr


def test_preflight_refuses_a_broken_line_of_the_project(machine: Machine, ports: dict[str, str]) -> None:
    machine.add_docker(ENGINE)
    (machine.folder / "project").mkdir()
    machine.write("project/.env", "BROKEN LINE\n")
    assert "project/.env, line 1: " in machine.refusal(f"{ENOUGH}; preflight", **ports)


def test_preflight_warns_of_a_name_that_nothing_reads(machine: Machine, ports: dict[str, str]) -> None:
    machine.add_docker(ENGINE)
    machine.run("make_env_file")
    (machine.folder / "docker-compose.yml").symlink_to(ROOT / "docker-compose.yml")
    machine.write("docker-compose.override.yml", "services: {langflow: {environment: {X: '${LANGFLOW_MINE}'}}}\n")
    env = machine.folder / ".env"
    unread = ["DAGMA_QUOTA", "LLM_KEY", "LANGFLOW_AUTO_LOGIN", "WORKER"]
    env.write_text(
        f"{env.read_text()}DAGMA_QUOTA=calls=1/day\n export LLM_KEY = x\nLANGFLOW_AUTO_LOGIN=true\nWORKER=3\n"
        "LANGFLOW_MINE=1\nMY_OWN=1\nDAGSTER_PUBLIC_URL=https://dagster.example.com\n"
    )
    done = machine.run(f"{ENOUGH}; preflight", **ports)
    assert done.returncode == 0, done
    assert re.findall(r"warning: .env has (\w+), which nothing reads", done.stderr) == unread


@pytest.mark.parametrize("sign", ["@", ":", "/", "?", "#", "%", "[", "]", "\\", " "])
def test_a_password_that_its_address_can_not_hold_is_refused(machine: Machine, sign: str) -> None:
    machine.run("make_env_file")
    assert "REDIS_PASSWORD has a sign" in machine.refusal("check_env_file", REDIS_PASSWORD=f"a{sign}b")
    assert "TABLES_PG_PASSWORD has a sign" in machine.refusal("check_env_file", TABLES_PG_PASSWORD=f"a{sign}b")
    assert machine.run("check_env_file", REDIS_PASSWORD="aB1-_.~=+", LANGFLOW_API_KEY=f"a{sign}b").returncode == 0


def test_the_stack_of_another_checkout_is_not_taken_over(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(machine.folder)
    folders = {name: tmp_path / name for name in ("dagma", "link", "moved away", "other one")}
    folders["other one"].mkdir()
    (folders["other one"] / ".env").touch()
    machine.write(".env", "COMPOSE_PROJECT_NAME=mine\n")
    for name, folder in folders.items():
        machine.add_docker(f'"ps --all --filter label=com.docker.compose.project=mine "*) echo "{folder}" ;;')
        if name == "other one":
            assert f"the stack mine is that of {folder}" in machine.refusal("check_owner")
        else:
            assert machine.run("check_owner").returncode == 0, name


def test_a_checkout_that_containers_cannot_read_is_refused(machine: Machine) -> None:
    (machine.folder / "flows").unlink()
    (machine.folder / "flows").mkdir()
    machine.write("flows/mine.json", "{}").chmod(0o640)
    stderr = machine.refusal("check_checkout")
    assert "flows/mine.json can't be read by the containers' users" in stderr
    assert "chmod -R o+rX flows docker/postgres" in stderr
