"""scripts/loopback-ports.sh: where Docker leaves them open, ports on 127.0.0.1 are closed to the neighbours."""

from pathlib import Path

import pytest
from unit.scripts.conftest import Machine

# Remembers its rules in a file, and knows -C and -I.
IPTABLES = """
rules=$(dirname "$0")/rules
touch "$rules"
arguments="$*"
case "$arguments" in
*" -C "*) grep -qxF -- "${arguments/ -C / -I }" "$rules" ;;
*) echo "$arguments" >>"$rules" ;;
esac"""
RULES = [
    "-t raw -I PREROUTING ! -i lo -d 127.0.0.0/8 -j DROP",
    "-t filter -I DOCKER-USER ! -i br-+ -o br-+ -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
]
# What starts an engine without systemd, in a test.
STARTED = "setsid() { :; }; engine_answers() { true; }; "


@pytest.fixture
def linux(machine: Machine) -> Machine:
    machine.add_program("iptables", IPTABLES)
    machine.add_docker('version*) echo "${ENGINE_VERSION:-26.1.5}" ;;')
    return machine


def rules(machine: Machine) -> list[str]:
    path = machine.bin / "rules"
    return path.read_text().splitlines() if path.exists() else []


def test_an_engine_that_leaves_them_open_gets_two_rules_once(linux: Machine) -> None:
    for _ in range(2):
        done = linux.run(STARTED + "start_engine")
        assert done.returncode == 0, done.stderr
        assert rules(linux) == RULES


def test_an_engine_that_closes_them_itself_gets_none(linux: Machine) -> None:
    assert linux.run(STARTED + "start_engine", ENGINE_VERSION="28.0.1").returncode == 0
    assert rules(linux) == []


def test_a_firewall_that_refuses_is_said_and_stops_nothing(linux: Machine) -> None:
    linux.add_program("iptables", "exit 1")
    done = linux.run(STARTED + "start_engine")
    assert done.returncode == 0
    assert "iptables can't keep ports on 127.0.0.1 to this machine" in done.stderr


def test_systemd_sets_the_rules_at_each_start_of_the_engine(linux: Machine, tmp_path: Path) -> None:
    linux.add_program("systemctl", "exit 0")
    unit = tmp_path / "docker.service.d" / "loopback.conf"
    done = linux.run(f"LOOPBACK_UNIT={unit}; keep_loopback_ports_closed")
    assert done.returncode == 0, done.stderr
    starts = [line for line in unit.read_text().splitlines() if line.startswith("ExecStartPost=")]
    assert [line.removeprefix("ExecStartPost=/usr/sbin/iptables ") for line in starts[1::2]] == RULES
    # Its own old ones first: the chains outlive the engine.
    assert starts[::2] == [f"ExecStartPost=-/usr/sbin/iptables {rule.replace(' -I ', ' -D ')}" for rule in RULES]


def test_where_the_engine_is_somebody_elses_preflight_says_it(linux: Machine) -> None:
    done = linux.run("is_root() { false; }; warn_of_loopback_ports")
    assert done.returncode == 0
    assert "moby#45610" in done.stderr
    assert "update Docker" in done.stderr
    assert rules(linux) == []


@pytest.mark.parametrize(
    "code",
    [
        "ENGINE_VERSION=29.0; export ENGINE_VERSION; ",
        "uname() { echo Darwin; }; ",
        "is_root() { true; }; iptables() { echo '-A PREROUTING -d 127.0.0.0/8 ! -i lo -j DROP'; }; ",
        "LOOPBACK_UNIT=.env.example; ",
    ],
    ids=["fixed", "desktop", "rules are there", "systemd sets them"],
)
def test_nothing_is_said_where_they_are_closed(linux: Machine, code: str) -> None:
    done = linux.run(code + "warn_of_loopback_ports")
    assert (done.returncode, done.stderr) == (0, "")
