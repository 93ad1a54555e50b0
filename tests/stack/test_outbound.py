"""The way out that DAGMA_OUTBOUND opens: to what it lists, for workers and code servers, and not where flows run."""

import json
from collections.abc import Iterator

import pytest
from harness.stack import ROOT, Stack, docker, in_bash, wait_until
from stack.test_networks import DRAWN, addresses, scan

HOST, PORT, CLOSED_PORT = "shop.example.test", 5432, 5433
UNLISTED = "other.example.test"
SETTING = {"DAGMA_OUTBOUND": f"{HOST}:{PORT}"}
SERVICES = ("outbound", f"outbound-{HOST}")
WAY_OUT_PORT = 1080
# Answers on both ports what it was sent, in capitals.
SHOP = f"""
import socketserver, threading

class Shout(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

for port in ({PORT}, {CLOSED_PORT}):
    threading.Thread(target=socketserver.ThreadingTCPServer(("", port), Shout).serve_forever).start()
print("listens")
"""
ASK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as connection:
        connection.sendall(b"from inside\\n")
        connection.shutdown(socket.SHUT_WR)
        print("heard", connection.makefile().read())
except OSError as error:
    print("failed", type(error).__name__)
"""


@pytest.fixture(scope="module")
def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The id of a container outside that has two names, of which the setting lists one; the way to it is open."""
    folder = tmp_path_factory.mktemp("outbound")
    (folder / ".env").touch()
    (folder / ".dev").mkdir()
    (folder / "docker-compose.outbound.yml").symlink_to(ROOT / "docker-compose.outbound.yml")
    in_bash(f"export DAGMA_OUTBOUND='{SETTING['DAGMA_OUTBOUND']}' PROBLEMS=; write_outbound", folder)
    opened = Stack(stack.env_file, str(folder / ".dev" / "outbound.yml"))
    project = stack.settings["COMPOSE_PROJECT_NAME"]
    image = stack.inspect(stack.container("worker"))["Config"]["Image"]
    container = ""
    try:
        opened.run("up", "--detach", "--no-build", "--wait", *SERVICES, env=SETTING)
        names = [part for name in (HOST, UNLISTED) for part in ("--network-alias", name)]
        container = docker(
            "run", "--detach", "--init", "--network", f"{project}_outbound", *names, image, "python", "-c", SHOP
        )
        wait_until("the shop", lambda: "listens" in docker("logs", container.strip()), seconds=60)
        yield container.strip()
    finally:
        if container:
            docker("rm", "--force", container.strip())
        opened.run("rm", "--stop", "--force", *SERVICES, env=SETTING)
        docker("network", "rm", f"{project}_doors", f"{project}_outbound")


def asked(stack: Stack, service: str, host: str, port: int) -> str:
    """What a program inside of a service's container gets from a host."""
    return stack.exec(service, "python3", "-c", ASK, host, str(port)).strip()


@pytest.mark.parametrize("service", ["worker", "user-code", "project-code"])
def test_a_host_that_is_listed_answers_by_its_own_name(stack: Stack, shop: str, service: str) -> None:
    assert asked(stack, service, HOST, PORT) == "heard FROM INSIDE"


def test_another_port_another_name_and_the_address_itself_stay_closed(stack: Stack, shop: str) -> None:
    assert asked(stack, "worker", HOST, CLOSED_PORT).startswith("failed")
    assert asked(stack, "worker", UNLISTED, PORT) == "failed gaierror"
    (network,) = json.loads(docker("inspect", shop))[0]["NetworkSettings"]["Networks"].values()
    assert scan(stack, "worker", [network["IPAddress"]], [PORT, CLOSED_PORT], 3.0) == set()


@pytest.mark.parametrize("service", DRAWN)
def test_where_flows_run_no_door_has_a_name_or_answers(stack: Stack, shop: str, service: str) -> None:
    for name in (HOST, "way-out", *SERVICES):
        assert asked(stack, service, name, PORT) == "failed gaierror", name
    everywhere = addresses(stack)
    doors = {address for name in SERVICES for address in everywhere[name].values()}
    assert len(doors) == 4
    (network,) = json.loads(docker("inspect", shop))[0]["NetworkSettings"]["Networks"].values()
    assert scan(stack, service, {*doors, network["IPAddress"]}, [PORT, CLOSED_PORT, WAY_OUT_PORT], 3.0) == set()


def test_the_way_out_listens_to_its_doors_alone(stack: Stack, shop: str) -> None:
    way_out = addresses(stack)["outbound"]
    assert set(way_out) == {"doors", "outbound"}
    heard = docker("exec", shop, "python3", "-c", ASK, way_out["outbound"], str(WAY_OUT_PORT))
    assert heard.strip() == "failed ConnectionRefusedError"
    door = stack.container(f"outbound-{HOST}").id
    listed = docker("exec", door, "python3", "-c", ASK, "way-out", str(WAY_OUT_PORT))
    assert listed.strip() == "heard DAGMA_OUTBOUND does not list it", "it connects to what is listed, whoever asks"
