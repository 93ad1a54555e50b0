"""What the containers may do, where they listen, and who can reach out."""

import re
import subprocess

import pytest
from harness.stack import ONE_SHOTS, PROJECT, ROOT, Stack
from unit.scripts.compose import LASTING, OF_ONE_SERVICE, OF_THE_GATEWAY, read_by_code

ROUTE_OUT = frozenset({"langflow"})


def test_no_process_of_any_container_runs_as_root(stack: Stack) -> None:
    running = [row for row in stack.containers() if row.state == "running"]
    assert {row.service for row in running} == set(LASTING)
    for container in running:
        top = subprocess.run(
            ["docker", "top", container.id, "-eo", "uid,pid,args"], capture_output=True, check=True, text=True
        )
        processes = top.stdout.splitlines()[1:]
        assert processes
        assert not [line for line in processes if line.split()[0] == "0"], container.service


def test_every_container_is_hardened(stack: Stack) -> None:
    for container in stack.containers():
        described = stack.inspect(container)
        host = described["HostConfig"]
        assert host["ReadonlyRootfs"], container.service
        assert host["CapDrop"] == ["ALL"], container.service
        assert not host["CapAdd"], container.service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], container.service
        assert not host["Privileged"], container.service
        assert described["Config"]["User"] not in {"", "0", "root"}, container.service
        assert host["LogConfig"]["Config"]["max-size"], container.service
        assert 0 < host["PidsLimit"] <= 2048, container.service
        # Where the machine counts swap. Both equal: none.
        assert host["MemorySwap"] in (host["Memory"], 0, -1), container.service
        assert not [mount for mount in described["Mounts"] if "docker.sock" in mount["Source"]], container.service
        if container.service not in ONE_SHOTS:
            assert host["Memory"] > 0, container.service


def test_nothing_listens_beyond_loopback(stack: Stack) -> None:
    published = set()
    for container in stack.containers():
        for port, bindings in (stack.inspect(container)["NetworkSettings"]["Ports"] or {}).items():
            for binding in bindings or []:
                published.add((container.service, port))
                assert binding["HostIp"] == "127.0.0.1", (container.service, port)
    assert published == {("dagster-webserver", "3000/tcp"), ("langflow", "7860/tcp")}


@pytest.mark.parametrize("service", ["user-code", "worker", "dagster-webserver", "dagster-daemon", "llm", "langflow"])
def test_only_langflow_has_a_route_out(service: str, stack: Stack) -> None:
    """A connection to an address of documentation (TEST-NET-1) is refused for want of a route, or waits."""
    program = (
        "import socket\n"
        "s = socket.socket(); s.settimeout(2)\n"
        "try: s.connect(('192.0.2.1', 9))\n"
        "except TimeoutError: print('routed')\n"
        "except OSError as error: print('unreachable' if error.errno == 101 else f'routed {error}')\n"
    )
    answer = stack.exec(service, "python3", "-c", program)
    networks = {name.removeprefix(f"{PROJECT}_") for name in _networks(stack, service)}
    if service in ROUTE_OUT:
        assert "egress" in networks
        assert "routed" in answer
    else:
        assert "egress" not in networks
        if "edge" not in networks:
            assert "unreachable" in answer


def _networks(stack: Stack, service: str) -> list[str]:
    return list(stack.inspect(stack.container(service))["NetworkSettings"]["Networks"])


def test_every_variable_is_present_where_it_is_read(stack: Stack) -> None:
    in_yaml = set(re.findall(r"\benv: (\w+)", (ROOT / "dagster_home" / "dagster.yaml").read_text()))
    needed = in_yaml | (read_by_code() - OF_ONE_SERVICE.keys() - OF_THE_GATEWAY)
    assert {"DAGSTER_PG_HOST", "LANGFLOW_TIMEOUT_SECONDS"} <= needed
    of_dagster = in_yaml | {"DAGSTER_PG_PASSWORD", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"}
    pushed = {"LANGFLOW_BASE_URL", "LANGFLOW_API_KEY", "LLM_BASE_URL", "LLM_API_KEY", "LLM_MODEL"}
    readers = {
        **dict.fromkeys(("user-code", "project-code", "worker"), needed | of_dagster),
        **dict.fromkeys(("dagster-webserver", "dagster-daemon"), of_dagster),
        "flows-push": pushed,
    }
    for service, names in readers.items():
        variables = {line.split("=", 1)[0] for line in stack.inspect(stack.container(service))["Config"]["Env"]}
        present = variables | {name.removesuffix("_FILE") for name in variables}
        assert not names - present, (service, names - present)


def test_langflow_owns_its_fresh_volume(stack: Stack) -> None:
    assert stack.exec("langflow", "stat", "-c", "%u:%g", "/var/lib/langflow").strip() == "10002:10002"
    assert stack.exec("worker", "stat", "-c", "%u:%g", "/var/lib/dagma").strip() == "10001:10001"
