"""scripts/env-file.sh: .env, written once, with random secrets."""

import base64
import re
import stat
from pathlib import Path

import pytest
from unit.scripts.compose import exemplified
from unit.scripts.conftest import Machine

SECRETS = re.compile(r"^([A-Z_]+)=<random", re.MULTILINE)


def read(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_every_secret_is_random_and_differs_from_the_others(machine: Machine) -> None:
    names = SECRETS.findall((machine.folder / ".env.example").read_text())
    assert len(names) > 5
    machine.run("make_env_file")
    first = read(machine.folder / ".env")
    (machine.folder / ".env").unlink()
    machine.run("make_env_file")
    second = read(machine.folder / ".env")
    values = [first[name] for name in names] + [second[name] for name in names]
    assert len(set(values)) == 2 * len(names)
    assert all(len(value) >= 44 for value in values)


def test_all_other_lines_are_those_of_the_example(machine: Machine) -> None:
    example = (machine.folder / ".env.example").read_text().splitlines()
    machine.run("make_env_file")
    made = (machine.folder / ".env").read_text().splitlines()
    assert len(made) == len(example)
    assert [line for line in made if line not in example] == [
        line for line, model in zip(made, example, strict=True) if model.split("=", 1)[-1].startswith("<")
    ]
    assert not any("=<" in line for line in made)


def test_the_keys_have_the_forms_that_langflow_takes(machine: Machine) -> None:
    machine.run("make_env_file")
    settings = read(machine.folder / ".env")
    assert len(base64.urlsafe_b64decode(settings["LANGFLOW_SECRET_KEY"])) == 32
    assert re.fullmatch("sk-[0-9a-f]{48}", settings["LANGFLOW_API_KEY"])


def test_passwords_need_no_escaping_in_a_url(machine: Machine) -> None:
    machine.run("make_env_file")
    settings = read(machine.folder / ".env")
    passwords = [settings[name] for name, example in exemplified().items() if example == "<random>"]
    assert len(passwords) > 5
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords)


def test_only_the_owner_can_read_it(machine: Machine) -> None:
    machine.run("umask 022; make_env_file")
    assert stat.S_IMODE((machine.folder / ".env").stat().st_mode) == 0o600


def test_a_second_time_changes_nothing(machine: Machine) -> None:
    machine.run("make_env_file")
    env = machine.folder / ".env"
    before = (env.read_bytes(), env.stat().st_mtime_ns)
    assert machine.run("make_env_file").stdout == ""
    assert (env.read_bytes(), env.stat().st_mtime_ns) == before


def test_an_env_of_ones_own_is_never_touched(machine: Machine) -> None:
    machine.write(".env", "DAGSTER_PORT=4000\n")
    machine.run("make_env_file")
    assert (machine.folder / ".env").read_text() == "DAGSTER_PORT=4000\n"


@pytest.mark.parametrize("program", ["od", "base64", "tr"])
def test_a_secret_that_can_not_be_made_leaves_no_env(machine: Machine, program: str) -> None:
    (machine.bin / program).unlink()
    assert machine.run("make_env_file").returncode != 0
    assert not (machine.folder / ".env").exists()


@pytest.mark.parametrize(
    ("variables", "entered"),
    [
        ({"SSL_CERT_FILE": "other.pem"}, "other.pem"),
        ({"DAGMA_CA_BUNDLE": "named.pem", "SSL_CERT_FILE": "other.pem"}, "named.pem"),
        ({"DAGMA_CA_BUNDLE": "missing.pem", "SSL_CERT_FILE": "other.pem"}, "other.pem"),
    ],
    ids=["the host's", "named", "missing"],
)
def test_the_ca_bundle_that_is_named_else_the_hosts_is_entered(
    machine: Machine, variables: dict[str, str], entered: str
) -> None:
    for name in ("named.pem", "other.pem"):
        machine.write(name, "-----BEGIN CERTIFICATE-----\n")
    machine.run("make_env_file", **{name: str(machine.folder / file) for name, file in variables.items()})
    assert read(machine.folder / ".env")["DAGMA_CA_BUNDLE"] == str(machine.folder / entered)


def test_what_tells_two_stacks_apart_is_kept_from_the_first_command_line(machine: Machine) -> None:
    machine.run("make_env_file", COMPOSE_PROJECT_NAME="second", DAGSTER_PORT="3001", LLM_MODEL="other")
    lines = (machine.folder / ".env").read_text().splitlines()
    for line in ("COMPOSE_PROJECT_NAME=second", "DAGSTER_PORT=3001", "LANGFLOW_PORT=7860", "LLM_MODEL=smollm2-135m"):
        assert line in lines
