"""docker-compose.yml keeps its promises in every service, also in one that is added later."""

import re
import subprocess
from typing import Any

import pytest
import yaml
from unit.scripts.compose import COMPOSE, COMPOSE_TEXT, LASTING, OF_DAGSTER, ONE_SHOTS, ROOT, SECRETS, SERVICES, SHARED

every_service = pytest.mark.parametrize("name", sorted(SERVICES))
UPSTREAM = {"python:3.13-slim-trixie", "postgres:17-trixie", "valkey/valkey:8.1"}


@every_service
def test_a_service_is_hardened_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert "container_name" not in service
    assert service["logging"]["driver"] == "json-file"
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
    assert service["memswap_limit"] == service["mem_limit"], "it does not swap"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert 0 < service["pids_limit"] <= 2048
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & service.keys()
    assert service.get("network_mode", "none") == "none"


@every_service
def test_a_service_does_not_run_as_root(name: str) -> None:
    service = SERVICES[name]
    user = service.get("user")
    if user is None:
        dockerfile = ROOT / f"docker/{service['image'].split('/')[1].split(':')[0]}/Dockerfile"
        final_stage = dockerfile.read_text().split("\nFROM ")[-1]
        (user,) = re.findall(r"^USER (.+)$", final_stage, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


@every_service
def test_a_service_mounts_nothing_of_the_host_but_files_of_its_own(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        if source in COMPOSE["volumes"]:
            continue
        own = (
            "./docker/",
            "./flows",
            "./project/data",
            "${DAGMA_PROJECT_MOUNT",
            "${DAGMA_CA_BUNDLE",
            "${DAGMA_SECRETS_DIR",
            "${LANGFLOW_TLS_FOLDER",
        )
        assert source.startswith(own), volume
        assert volume.endswith(":ro"), volume


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"postgres", "redis", "ledger-migrate"}))
def test_a_proxy_of_docker_s_own_does_not_stand_between_services(name: str) -> None:
    environment = SERVICES[name]["environment"]
    if name == "langflow":  # it reaches providers by it, and these hosts without
        for variable in ("NO_PROXY", "no_proxy"):
            assert {"localhost", "127.0.0.1", "llm"} < set(environment[variable].split(","))
        return
    for scheme in ("http", "https", "all"):
        assert environment[f"{scheme}_proxy"] == environment[f"{scheme}_proxy".upper()] == ""


@every_service
def test_a_service_waits_for_what_it_needs_to_be_ready(name: str) -> None:
    for needed, condition in SERVICES[name].get("depends_on", {}).items():
        ready = "service_completed_successfully" if needed in ONE_SHOTS else "service_healthy"
        if (name, needed) == ("flows-push", "langflow"):
            assert "--wait" in SERVICES[name]["command"], "it waits by itself"
            ready = "service_started"
        assert condition["condition"] == ready, needed


@every_service
def test_a_port_is_published_on_loopback_only_and_can_be_changed(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port)


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_service_is_restarted_checked_and_has_a_memory_limit_that_can_be_changed(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert re.fullmatch(r"\$\{[A-Z_]+_MEMORY:-\d+[mg]\}", SERVICES[name]["mem_limit"])
    test: list[str] = SERVICES[name]["healthcheck"]["test"]
    assert test[0] in ("CMD", "CMD-SHELL")
    assert not any("exit 0" in part or part == "true" for part in test)


def test_only_the_two_uis_are_published() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"dagster-webserver", "langflow"}


def test_each_service_is_on_the_networks_that_it_needs() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items() if "network_mode" not in service}
    assert COMPOSE["networks"]["control"] == COMPOSE["networks"]["flows"] == {"internal": True}
    assert COMPOSE["networks"]["edge"]["driver_opts"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    assert {name for name, joined in networks.items() if "egress" in joined} == {"langflow"}
    assert {name for name, joined in networks.items() if "edge" in joined} == {"dagster-webserver"}
    # What runs flows, their database, and who asks Langflow.
    asking = {"user-code", "project-code", "worker", "flows-push"}
    assert {name for name, joined in networks.items() if "flows" in joined} == {"langflow", "llm", "postgres", *asking}
    assert {name for name, joined in networks.items() if "control" not in joined} == {"langflow", "llm", "flows-push"}


@pytest.mark.parametrize("server", ["user-code", "project-code"])
def test_a_code_server_listens_on_a_name_that_only_the_control_network_has(server: str) -> None:
    (name,) = SERVICES[server]["networks"]["control"]["aliases"]
    assert SERVICES[server]["networks"]["flows"] is None
    command = SERVICES[server]["command"]
    assert command[command.index("--host") + 1] == name
    assert SERVICES[server]["healthcheck"]["test"][-2:] == ["--host", name]


def test_each_volume_says_what_is_lost_with_it() -> None:
    declared = COMPOSE_TEXT.split("\nvolumes:\n")[1].split("\nsecrets:")[0]
    for name in COMPOSE["volumes"]:
        assert re.search(rf"# Lost with it: .+\n  {name}:", declared), name


def test_images_are_our_own_or_one_of_three() -> None:
    used = {service["image"] for service in SERVICES.values() if "build" not in service}
    bases = {
        base
        for path in (ROOT / "docker").glob("*/Dockerfile")
        if path.parent.name != "base"
        for base in re.findall(r"^FROM (\S+)", path.read_text(), re.MULTILINE)
    }
    assert {image for image in used if not image.startswith("dagma/")} | bases == UPSTREAM


def test_each_secret_is_given_to_those_who_need_it_alone() -> None:
    access = {
        *("LANGFLOW_API_KEY", "LANGFLOW_BEARER_TOKEN", "LANGFLOW_OAUTH_CLIENT_SECRET"),
        *("LANGFLOW_BASIC_PASSWORD", "LANGFLOW_HEADERS"),
    }
    dagster = {"DAGSTER_PG_PASSWORD", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"}
    roles = {
        *("DAGSTER_PG_PASSWORD", "LANGFLOW_PG_PASSWORD", "DAGMA_PG_PASSWORD", "DAGMA_PG_OWNER_PASSWORD"),
        "TABLES_PG_PASSWORD",
    }
    user_code = dagster | access | {"DAGMA_LEDGER_URL", "DAGMA_TABLES_URL"}
    login = {"LANGFLOW_SUPERUSER_PASSWORD", "LANGFLOW_SECRET_KEY", "LANGFLOW_API_KEY"}
    assert {
        "postgres": roles,
        "redis": {"REDIS_PASSWORD"},
        "llm": set(),
        "langflow": {"LANGFLOW_PG_PASSWORD", "LLM_API_KEY"} | login,
        "dagster-migrate": {"DAGSTER_PG_PASSWORD"},
        "ledger-migrate": {"DAGMA_LEDGER_OWNER_URL"},
        "flows-push": access | {"LLM_API_KEY"},
        "dagster-webserver": dagster,
        "dagster-daemon": dagster,
        "user-code": user_code,
        "project-code": user_code,
        "validate": user_code,
        "worker": user_code,
    } == SECRETS


@every_service
def test_a_file_that_a_variable_names_is_a_secret_of_the_service(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    named = {value.removeprefix("/run/secrets/") for value in environment.values() if "/run/secrets/" in str(value)}
    assert named <= SECRETS[name]
    # Postgres and the broker read theirs where they start.
    assert named == SECRETS[name] or name in ("postgres", "redis")


@pytest.mark.parametrize("name", LASTING)
def test_a_changed_secret_replaces_the_container(name: str) -> None:
    """The group of its revision, in scripts/secrets.sh, has the secrets that the service has."""
    if not SECRETS[name]:
        return
    ((path, required),) = [tuple(each.values()) for each in SERVICES[name]["env_file"]]
    assert required is False
    group = path.removeprefix("${DAGMA_SECRETS_DIR:-.secrets}/revisions/")
    sourced = f". {ROOT}/scripts/secrets.sh; secrets_of {group}"
    listed = subprocess.run(["bash", "-c", sourced], capture_output=True, text=True, check=True).stdout.split()
    assert set(listed) == SECRETS[name]


def test_every_variable_of_dagster_yaml_is_in_the_shared_environment() -> None:
    wanted: set[str] = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            if node.keys() == {"env"}:
                wanted.add(node["env"])
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    collect(yaml.safe_load((ROOT / "dagster_home/dagster.yaml").read_text()))
    assert wanted
    assert wanted <= OF_DAGSTER.keys()


@pytest.mark.parametrize("name", ["user-code", "project-code", "worker"])
def test_everything_of_user_code_sees_the_same_environment(name: str) -> None:
    assert SERVICES[name]["environment"] == SHARED


@pytest.mark.parametrize("name", ["user-code", "worker", "dagster-webserver", "dagster-daemon", "dagster-migrate"])
def test_everything_of_dagster_finds_its_instance(name: str) -> None:
    environment = SERVICES[name]["environment"]
    differing = {variable for variable, value in OF_DAGSTER.items() if environment[variable] != value}
    assert differing <= {
        "dagster-daemon": {"DAGMA_MAX_CONCURRENT_RUNS"},
        "dagster-migrate": {"CELERY_BROKER_URL_FILE", "CELERY_RESULT_BACKEND_FILE"},
    }.get(name, set())


def test_the_run_limit_changes_the_daemon_alone() -> None:
    """A worker whose environment changed would be replaced, in the middle of its runs."""
    computed = {
        name for name, service in SERVICES.items() if "${DAGMA_MAX_CONCURRENT_RUNS" in str(service.get("environment"))
    }
    assert computed == {"dagster-daemon"}


def test_a_ui_does_not_wait_for_code_that_may_not_load() -> None:
    for name in ("dagster-webserver", "dagster-daemon"):
        assert not {"user-code", "project-code", "worker"} & SERVICES[name]["depends_on"].keys()


@pytest.mark.parametrize("name", ["user-code", "project-code", "worker", "validate"])
def test_what_loads_definitions_has_the_project_its_data_and_the_flows(name: str) -> None:
    mounts = SERVICES[name]["volumes"]
    # A folder of copies, or without `make up` the project itself as the current one.
    assert "${DAGMA_PROJECT_MOUNT:-./project:/opt/project/current}:ro" in mounts
    assert "./project/data:/opt/project-data:ro" in mounts
    assert "./flows:/opt/flows:ro" in mounts
    assert "${DAGMA_SECRETS_DIR:-.secrets}/project:/run/project-secrets:ro" in mounts


def test_what_validates_sees_the_environment_of_what_runs_and_reaches_nothing() -> None:
    validate = SERVICES["validate"]
    of_langflow = COMPOSE["x-langflow-choices"]
    assert (SHARED | of_langflow).items() <= validate["environment"].items()
    assert of_langflow.items() <= SERVICES["langflow"]["environment"].items()
    assert validate["network_mode"] == "none"
    assert not [volume for volume in validate["volumes"] if not volume.endswith(":ro")]
    assert validate["profiles"], "it is no part of the stack"
