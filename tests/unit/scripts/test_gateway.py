"""docker-compose.gateway.yml and scripts/gateway.sh: what GATEWAY=1 changes, and that nothing else does."""

import socket
import subprocess
from pathlib import Path

import pytest
from unit.scripts.compose import COMPOSE, GATEWAY, GATEWAY_TEXT, ROOT, SERVICES
from unit.scripts.conftest import Machine

GATEWAY_SERVICE = GATEWAY["services"]["gateway"]
UIS = ("dagster-webserver", "langflow")


def test_the_gateway_is_hardened_as_every_other_service() -> None:
    for name in ("init", "restart", "logging", "read_only", "cap_drop", "security_opt", "tmpfs"):
        assert GATEWAY_SERVICE[name] == SERVICES["langflow"][name], name
    assert GATEWAY_SERVICE["memswap_limit"] == GATEWAY_SERVICE["mem_limit"]
    assert "\nUSER 10004:10004\n" in (ROOT / "docker/gateway/Dockerfile").read_text()


def test_only_the_gateway_is_published() -> None:
    assert GATEWAY_TEXT.count("ports: !reset []") == len(UIS)
    assert [port.partition(":$")[0] for port in GATEWAY_SERVICE["ports"]] == ["${GATEWAY_BIND:-0.0.0.0}"] * 3


def test_each_ui_shares_a_network_with_the_gateway_that_nothing_else_is_on() -> None:
    shared = {ui: GATEWAY["services"][ui]["networks"] for ui in UIS}
    assert shared == {"dagster-webserver": ["gateway-dagster"], "langflow": ["gateway-langflow"]}
    assert GATEWAY["networks"]["gateway-dagster"] == GATEWAY["networks"]["gateway-langflow"] == {"internal": True}
    assert not GATEWAY["networks"].keys() & COMPOSE["networks"].keys()
    # The name that it listens on is one of the third network alone.
    assert GATEWAY_SERVICE["networks"]["gateway"] == {"aliases": ["gateway-public"]}
    assert GATEWAY_SERVICE["networks"].keys() == {"gateway", "gateway-dagster", "gateway-langflow"}


def test_each_knows_only_the_secret_that_the_gateway_proves_itself_by_to_it() -> None:
    assert GATEWAY["services"]["dagster-webserver"]["secrets"] == ["DAGMA_GATEWAY_SECRET"]
    assert GATEWAY["services"]["langflow"]["secrets"] == ["LANGFLOW_GATEWAY_SECRET"]


@pytest.mark.parametrize(("group", "services"), [("gateway", ["gateway"]), ("uis", list(UIS))])
def test_a_changed_secret_replaces_who_reads_it(group: str, services: list[str]) -> None:
    sourced = f". {ROOT}/scripts/secrets.sh; secrets_of {group}"
    listed = subprocess.run(["bash", "-c", sourced], capture_output=True, text=True, check=True).stdout.split()
    assert set(listed) == {secret for name in services for secret in GATEWAY["services"][name]["secrets"]}
    for name in services:
        ((path, required),) = [tuple(each.values()) for each in GATEWAY["services"][name]["env_file"]]
        assert (path, required) == (f"${{DAGMA_SECRETS_DIR:-.secrets}}/revisions/{group}", False)


@pytest.mark.parametrize("value", ["", "0"])
def test_without_it_everything_is_as_it_was(machine: Machine, value: str) -> None:
    assert machine.run('echo "${COMPOSE_FILE-} ${DAGSTER_PUBLIC_URL-}"', GATEWAY=value).stdout == " \n"


def test_a_comment_behind_its_number_is_no_part_of_it(machine: Machine) -> None:
    machine.write(".env", "GATEWAY=1 # on\n")
    assert machine.run("gateway_is_on").returncode == 0


def test_it_lays_its_file_over_those_that_compose_takes_by_itself(machine: Machine) -> None:
    shown = 'echo "$COMPOSE_FILE"'
    assert machine.run(shown, GATEWAY="1").stdout == "docker-compose.yml:docker-compose.gateway.yml\n"
    machine.write("docker-compose.override.yml", "")
    files = "docker-compose.yml:docker-compose.override.yml:docker-compose.gateway.yml\n"
    assert machine.run(shown, GATEWAY="1").stdout == files
    assert machine.run(shown, GATEWAY="1", COMPOSE_FILE="a.yml").stdout == "a.yml:docker-compose.gateway.yml\n"


def test_the_way_out_for_workers_goes_beside_it(machine: Machine) -> None:
    (machine.folder / ".dev").mkdir()
    machine.write(".dev/outbound.yml", "")
    files = "docker-compose.yml:docker-compose.gateway.yml:.dev/outbound.yml\n"
    assert machine.run('use_gateway; read_outbound; echo "$COMPOSE_FILE"', GATEWAY="1").stdout == files


def test_links_lead_to_the_gateway(machine: Machine) -> None:
    machine.write(
        ".env", "GATEWAY=1\nGATEWAY_HOST=dagma.example.com\nGATEWAY_PORT=443\nDAGSTER_PUBLIC_URL=http://old\n"
    )
    done = machine.run('echo "$DAGSTER_PUBLIC_URL $LANGFLOW_PUBLIC_URL"')
    assert done.stdout == "https://dagma.example.com https://dagma.example.com:8444\n"


def test_a_word_that_is_neither_on_nor_off_is_refused(machine: Machine) -> None:
    assert 'GATEWAY is "yes"' in machine.refusal("true", GATEWAY="yes")


def test_secrets_are_made_of_one_and_differ(machine: Machine) -> None:
    machine.run("make_env_file; write_secrets")
    names = ("DAGMA_GATEWAY_SECRET", "LANGFLOW_GATEWAY_SECRET", "GATEWAY_SESSION_SECRET")
    values = {(machine.folder / ".secrets" / name).read_text() for name in names}
    assert len(values) == 3
    assert min(map(len, values)) >= 48


def test_of_no_secret_none_is_made(machine: Machine) -> None:
    machine.write(".env", "DAGMA_GATEWAY_SECRET=\n")
    assert machine.run("derived langflow").stdout == ""


def test_the_users_file_is_a_secret_of_the_gateway_alone(machine: Machine) -> None:
    machine.run("make_env_file; write_secrets")
    before = {path.name: path.read_text() for path in (machine.folder / ".secrets/revisions").iterdir()}
    machine.write("gateway-users", "anna:hash\nbob:hash\n")
    machine.run("write_secrets")
    after = {path.name: path.read_text() for path in (machine.folder / ".secrets/revisions").iterdir()}
    assert (machine.folder / ".secrets/GATEWAY_USERS").read_text() == "anna:hash\nbob:hash"
    assert {name for name in after if after[name] != before[name]} == {"gateway"}


def test_an_env_of_before_the_gateway_has_the_usual_users_file(machine: Machine) -> None:
    machine.run("make_env_file")
    env = machine.folder / ".env"
    env.write_text("".join(line for line in env.read_text().splitlines(keepends=True) if "USERS_FILE" not in line))
    machine.write("gateway-users", "anna:hash\n")
    machine.run("write_secrets")
    assert (machine.folder / ".secrets/GATEWAY_USERS").read_text() == "anna:hash"


def certificate(machine: Machine, text: str) -> dict[str, str]:
    machine.write("cert.pem", text)
    machine.write("key.pem", "the key\n")
    return {"GATEWAY_TLS_CERT": "cert.pem", "GATEWAY_TLS_KEY": "key.pem"}


def test_a_certificate_is_copied_and_renewed_and_taken_away(machine: Machine) -> None:
    machine.run("make_env_file")
    folder = machine.folder / ".secrets/gateway-tls"
    assert machine.run("write_secrets", **certificate(machine, "old\n")).returncode == 0
    assert machine.run("write_secrets", **certificate(machine, "new\n")).returncode == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"cert.pem": "new\n", "key.pem": "the key\n"}
    machine.run("write_secrets")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"GATEWAY_TLS_CERT": "cert.pem"}, "of GATEWAY_TLS_CERT and GATEWAY_TLS_KEY one is empty"),
        ({"GATEWAY_TLS_CERT": "nowhere.pem"}, "GATEWAY_TLS_CERT is nowhere.pem, and there is no such file"),
        (
            {"GATEWAY_TLS_CERT": "cert.pem", "GATEWAY_TLS_KEY": "key.pem", "GATEWAY_ACME": "me@example.com"},
            "GATEWAY_TLS_CERT and GATEWAY_ACME are both set",
        ),
    ],
)
def test_a_certificate_that_can_not_be_used_is_refused(machine: Machine, variables: dict[str, str], said: str) -> None:
    machine.run("make_env_file")
    certificate(machine, "x\n")
    assert said in machine.refusal("write_secrets", **variables)


@pytest.fixture
def guarded(machine: Machine) -> Machine:
    """A machine on which the gateway runs."""
    machine.add_docker(
        """info*MemTotal*) echo 8589934592 ;;
info*DockerRootDir*) echo / ;;
version*) echo 28.0.0 ;;
"compose version "*) echo 2.30.0 ;;
"buildx version"|"image inspect "*|"ps --all "*) ;;
"ps --quiet "*project=dagma\\ *service=gateway) echo 4711 ;;
*) echo "$*" >>done-else; exit 1 ;;"""
    )
    return machine


def free_ports() -> dict[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return {"DAGSTER_PORT": str(one.getsockname()[1]), "LANGFLOW_PORT": str(other.getsockname()[1])}


def test_make_up_takes_no_gateway_away_because_nobody_said_that_it_stays(guarded: Machine) -> None:
    guarded.run("make_env_file")
    done = guarded.run_program("scripts/up.sh", **free_ports())
    assert done.returncode == 1
    assert "error: the gateway runs, and GATEWAY is not set" in done.stderr, done
    assert "set GATEWAY=1 in .env to keep it, or GATEWAY=0 to take it away" in done.stderr
    assert not (guarded.folder / "done-else").exists(), "nothing is replaced, nor is an image built"


@pytest.mark.parametrize("value", ["0", "1"])
def test_a_gateway_stays_or_goes_where_the_setting_says_so(guarded: Machine, value: str) -> None:
    assert guarded.run("check_gateway_stays", GATEWAY=value).returncode == 0
    guarded.write(".env", f"GATEWAY={value}\n")
    assert guarded.run("check_gateway_stays").returncode == 0


def test_the_gateway_of_another_project_is_none_of_this_one(guarded: Machine) -> None:
    guarded.add_docker('"ps --quiet "*) ;;')
    assert guarded.run("check_gateway_stays").returncode == 0


def test_settings_that_the_gateway_refuses_stop_make_up_with_its_words(machine: Machine) -> None:
    (machine.folder / ".dev/logs").mkdir(parents=True)
    machine.add_docker(
        """"compose run "*" gateway check") echo " Container x  Creating" >&2
  echo "GATEWAY_ADMINS: nobody has a role. Fix: list users" >&2; exit 1 ;;"""
    )
    said = machine.refusal("check_gateway", GATEWAY="1")
    assert "nothing was changed:\n  GATEWAY_ADMINS: nobody has a role. Fix: list users\n" in said
    assert "Container" not in said


def test_the_last_screen_says_who_may_log_in_and_what_to_trust(machine: Machine) -> None:
    (machine.folder / ".dev").mkdir()
    (machine.folder / ".dev/gateway-authority.pem").write_text("the authority")
    shown = machine.run("who_may_log_in", GATEWAY_ADMINS="anna", GATEWAY_VIEWERS="*").stdout
    assert "Login     users of gateway-users" in shown
    assert [line.split()[-1] for line in shown.splitlines()[1:4]] == ["anna", "nobody", "*"]
    assert ".dev/gateway-authority.pem" in shown
    issuer = "https://login.example.com"
    assert f"Login     {issuer}\n" in machine.run("who_may_log_in", GATEWAY_OIDC_ISSUER=issuer).stdout


@pytest.mark.parametrize(("answer", "is_told"), [("exit 1", True), ("exit 0", False)])
def test_make_up_tells_that_the_acme_authority_has_not_signed(machine: Machine, answer: str, is_told: bool) -> None:
    (machine.folder / ".dev/logs").mkdir(parents=True)
    machine.add_docker(
        f"""*"/opt/gateway/start.py reload") ;;
*"/opt/gateway/start.py certified") {answer} ;;"""
    )
    done = machine.run("refresh_gateway", GATEWAY="1", GATEWAY_ACME="me@example.com")
    assert (done.returncode, "has signed no certificate yet" in done.stderr) == (0, is_told)


def gateway_user(machine: Machine, name: str, password: str) -> "subprocess.CompletedProcess[str]":
    code = f"printf '%s\\n' '{password}' | bash scripts/gateway-user.sh"
    return machine.run(code, NAME=name)


@pytest.fixture
def htpasswd(machine: Machine) -> Machine:
    """A machine whose docker has the gateway's image."""
    machine.add_docker(""""image inspect "*) ;;
"run "*) read -r password; echo "${!#}:\\$2y\\$12\\$of-$password" ;;""")
    return machine


def test_a_user_is_added_once_and_gets_a_new_password(htpasswd: Machine) -> None:
    gateway_user(htpasswd, "anna", "a first password")
    gateway_user(htpasswd, "bob", "bob's password".replace("'", ""))
    done = gateway_user(htpasswd, "anna", "another password\r")
    assert done.stdout == "anna is in gateway-users; now set GATEWAY=1 in .env, unless it is there, then: make up\n"
    lines = Path(htpasswd.folder, "gateway-users").read_text().splitlines()
    assert lines == ["bob:$2y$12$of-bobs password", "anna:$2y$12$of-another password"]


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [("a b", "long enough for it", "is no user's name"), ("anna", "too short", "fewer than 12 characters")],
)
def test_a_user_that_can_not_be_is_refused(htpasswd: Machine, name: str, password: str, said: str) -> None:
    assert said in gateway_user(htpasswd, name, password).stderr
    assert not Path(htpasswd.folder, "gateway-users").exists()
