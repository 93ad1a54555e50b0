"""Who reaches whom: tried from inside the containers, on every address and port."""

import json
from collections.abc import Iterable, Sequence

import pytest
from harness.stack import Stack

# What runs as code that people draw, and what such code could be sent to.
DRAWN = ("langflow", "llm")
OPEN_TO_DRAWN = {("postgres", 5432), ("llm", 8080), ("langflow", 7860)}
# What listens anywhere in the stack, and the health checks' own.
KNOWN_PORTS = (3000, 4000, 5432, 6379, 7860, 8080)
EVERY_PORT = range(1, 65536)
SCAN = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def scan(address, first, last):
    for port in range(first, last + 1):
        with socket.socket() as probe:
            probe.settimeout(seconds)
            # To an address of its own a socket may connect to itself, by the port that it happened to get.
            if probe.connect_ex((address, port)) == 0 and probe.getsockname() != probe.getpeername():
                yield [address, port]

addresses, spans, seconds = json.load(sys.stdin)
with ThreadPoolExecutor(64) as threads:
    scans = [threads.submit(lambda *span: list(scan(*span)), address, *span) for address in addresses for span in spans]
print("found", json.dumps([each for done in scans for each in done.result()]))
"""


def addresses(stack: Stack) -> dict[str, dict[str, str]]:
    """Every running service's address, by network."""
    return {
        row.service: {
            name.removeprefix(f"{stack.settings['COMPOSE_PROJECT_NAME']}_"): described["IPAddress"]
            for name, described in stack.inspect(row)["NetworkSettings"]["Networks"].items()
        }
        for row in stack.containers()
        if row.state == "running"
    }


def scan(
    stack: Stack, service: str, targets: Iterable[str], ports: Sequence[int], seconds: float
) -> set[tuple[str, int]]:
    """What accepts a connection from inside a service's container."""
    spans = [[ports[0], ports[-1]]] if isinstance(ports, range) else [[port, port] for port in ports]
    printed = stack.exec(service, "python3", "-c", SCAN, stdin=json.dumps([list(targets), spans, seconds]))
    (line,) = [line for line in printed.splitlines() if line.startswith("found ")]
    return {(address, port) for address, port in json.loads(line.removeprefix("found "))}


# Every port is tried from one of the two: a host of their network listens for both or for neither.
@pytest.mark.parametrize(("service", "ports"), [("langflow", EVERY_PORT), ("llm", KNOWN_PORTS)], ids=DRAWN)
def test_from_where_flows_run_only_the_llm_langflow_and_its_database_answer(
    stack: Stack, service: str, ports: Sequence[int]
) -> None:
    everywhere = addresses(stack)
    on_flows = {row["flows"]: name for name, row in everywhere.items() if "flows" in row}
    elsewhere = {
        address: name for name, row in everywhere.items() for network, address in row.items() if network != "flows"
    }
    assert {"dagster-webserver", "redis", "user-code", "worker", "postgres"} <= set(elsewhere.values())

    # A host of the same network refuses at once; others do not answer.
    neighbours = scan(stack, service, on_flows, ports, 20.0)
    assert {(on_flows[address], port) for address, port in neighbours} == OPEN_TO_DRAWN
    strangers = scan(stack, service, elsewhere, KNOWN_PORTS, 3.0)
    assert {(elsewhere[address], port) for address, port in strangers} <= {("langflow", 7860)}


def test_langflow_reaches_no_published_port_by_the_hosts_own_addresses(stack: Stack) -> None:
    """Its route out leads by a bridge of the host, which has an address on each network of the stack."""
    networks = {
        name: described
        for row in stack.containers()
        if row.state == "running"
        for name, described in stack.inspect(row)["NetworkSettings"]["Networks"].items()
    }
    gateways = {name: described["Gateway"] for name, described in networks.items() if described["Gateway"]}
    assert any(name.endswith("_egress") for name in gateways)
    published = [int(stack.settings[name]) for name in ("DAGSTER_PORT", "LANGFLOW_PORT")]
    assert scan(stack, "langflow", gateways.values(), [*published, *KNOWN_PORTS], 3.0) == set()


@pytest.mark.parametrize("service", DRAWN)
def test_what_controls_dagster_has_no_name_where_flows_run(stack: Stack, service: str) -> None:
    program = """
import socket, sys
for name in sys.argv[1:]:
    try: socket.getaddrinfo(name, 80)
    except socket.gaierror: continue
    print("known", name)
"""
    names = (
        "redis",
        "dagster-webserver",
        "dagster-daemon",
        "postgres-control",
        "user-code-control",
        "project-code-control",
        "postgres",
    )
    assert stack.exec(service, "python3", "-c", program, *names).split() == ["known", "postgres"]


def test_workers_listen_nowhere_and_code_servers_on_the_control_network_only(stack: Stack) -> None:
    listening = "import sys, pathlib\nfor f in ('tcp', 'tcp6'):\n" + (
        " for line in pathlib.Path('/proc/net/' + f).read_text().splitlines()[1:]:\n"
        "  fields = line.split()\n"
        "  if fields[3] == '0A': print('listens', fields[1])\n"
    )
    everywhere = addresses(stack)
    for service in ("worker", "user-code", "project-code"):
        control = everywhere[service]["control"]
        as_the_kernel_writes_it = "".join(f"{int(part):02X}" for part in reversed(control.split(".")))
        expected = [] if service == "worker" else [f"{as_the_kernel_writes_it}:0FA0"]
        lines = [
            line.split()[1] for line in stack.exec(service, "python", "-c", listening).splitlines() if "listens" in line
        ]
        # Docker's own name server aside.
        found = [line[-13:] for line in lines if not line.startswith("0B00007F")]
        assert found == expected, service
