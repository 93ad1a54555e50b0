"""Who Postgres lets in: each role with its right password, from each network, to each database."""

import json

import pytest
from harness.stack import Stack

PASSWORDS = {
    "dagster": "DAGSTER_PG_PASSWORD",
    "langflow": "LANGFLOW_PG_PASSWORD",
    "dagma": "DAGMA_PG_PASSWORD",
    "dagma_owner": "DAGMA_PG_OWNER_PASSWORD",
    "tables": "TABLES_PG_PASSWORD",
}
DATABASES = ("dagster", "langflow", "dagma", "tables", "postgres", "template1")
LET_IN = {
    "control": {("dagster", "dagster"), ("dagma", "dagma"), ("dagma_owner", "dagma"), ("tables", "tables")},
    "flows": {("langflow", "langflow")},
}
# A container of each network, its driver, and the name that Postgres has there.
PLACES = {
    "control": ("dagster-webserver", "psycopg2", "postgres-control"),
    "flows": ("langflow", "psycopg", "postgres-flows"),
}
CONNECT = """
import importlib, json, sys
driver = importlib.import_module(sys.argv[1])
for role, password, database in json.load(sys.stdin):
    try:
        driver.connect(host=sys.argv[2], user=role, password=password, dbname=database, connect_timeout=5).close()
        print(json.dumps([role, database, "let in"]))
    except driver.OperationalError as error:
        print(json.dumps([role, database, " ".join(str(error).split())]))
"""

# Opens connections as the first role until it is refused, and keeps them while the others try.
FLOOD = """
import json, psycopg2, sys
def connect(host, role, password, database):
    return psycopg2.connect(host=host, user=role, password=password, dbname=database, connect_timeout=5)
flooding, *others = json.load(sys.stdin)
opened, answers = [], {}
try:
    while True:
        opened.append(connect(*flooding))
except psycopg2.OperationalError as error:
    answers[flooding[1]] = " ".join(str(error).split())
for other in others:
    try:
        connect(*other).close()
        answers[other[1]] = "let in"
    except psycopg2.OperationalError as error:
        answers[other[1]] = " ".join(str(error).split())
print(json.dumps(answers))
"""


def attempts(
    stack: Stack, service: str, driver: str, host: str, logins: list[tuple[str, str, str]]
) -> dict[tuple[str, str], str]:
    """What Postgres says to each login from a container: by role and database."""
    printed = stack.exec(service, "python3", "-c", CONNECT, driver, host, stdin=json.dumps(logins))
    answers = [json.loads(line) for line in printed.splitlines() if line.startswith("[")]
    return {(role, database): answer for role, database, answer in answers}


def logins(stack: Stack) -> list[tuple[str, str, str]]:
    passwords = {role: stack.settings[variable] for role, variable in PASSWORDS.items()}
    return [(role, word, database) for role, word in {**passwords, "postgres": "any"}.items() for database in DATABASES]


@pytest.mark.parametrize("network", sorted(PLACES))
def test_a_role_is_let_in_to_its_database_from_its_network_and_nowhere_else(stack: Stack, network: str) -> None:
    answers = attempts(stack, *PLACES[network], logins(stack))
    assert len(answers) == len(DATABASES) * 6
    assert {login for login, answer in answers.items() if answer == "let in"} == LET_IN[network]
    others = {answer for answer in answers.values() if answer != "let in"}
    assert all("no pg_hba.conf entry" in answer for answer in others), others


def test_a_container_on_both_networks_is_on_either_what_the_others_there_are(stack: Stack) -> None:
    """Workers straddle both: what runs there reaches Dagster's database over one, and no database over the other."""
    answers = attempts(stack, "worker", "psycopg2", "postgres-control", logins(stack))
    assert {login for login, answer in answers.items() if answer == "let in"} == LET_IN["control"]
    answers = attempts(stack, "worker", "psycopg2", "postgres-flows", logins(stack))
    assert {login for login, answer in answers.items() if answer == "let in"} == LET_IN["flows"]


def test_a_wrong_password_is_refused_where_the_role_is_let_in(stack: Stack) -> None:
    answers = attempts(stack, *PLACES["flows"], [("langflow", "wrong", "langflow")])
    assert "password authentication failed" in answers["langflow", "langflow"]


@pytest.mark.parametrize("flooding", ["langflow", "tables"])
def test_a_role_that_opens_all_connections_it_can_keeps_no_other_out(stack: Stack, flooding: str) -> None:
    """From a worker, which is on both networks. Code in Langflow can do the same as the role `langflow`."""
    logins = [
        (PLACES[network][2], role, stack.settings[PASSWORDS[role]], database)
        for network, let_in in LET_IN.items()
        for role, database in let_in
    ]
    logins.sort(key=lambda login: login[1] != flooding)
    answers = json.loads(stack.exec("worker", "python3", "-c", FLOOD, stdin=json.dumps(logins)))
    assert f'too many connections for role "{flooding}"' in answers.pop(flooding)
    assert answers == dict.fromkeys(PASSWORDS.keys() - {flooding}, "let in")


def test_every_role_but_the_superuser_has_a_limit_of_connections(stack: Stack) -> None:
    assert stack.sql("postgres", "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolconnlimit = -1") == "postgres\n"


def test_nobody_is_let_in_over_tcp_from_postgres_own_container(stack: Stack) -> None:
    for role in ("postgres", "dagma"):
        assert "no pg_hba.conf entry" in stack.exec(
            "postgres", "psql", "-h", "127.0.0.1", "-U", role, "-d", "dagma", check=False
        )


def test_the_superuser_has_no_password(stack: Stack) -> None:
    passwordless = "SELECT rolname FROM pg_authid WHERE rolcanlogin AND rolpassword IS NULL"
    assert stack.sql("postgres", passwordless).split() == ["postgres"]


def test_the_rights_of_a_role_end_at_its_database_whatever_pg_hba_says(stack: Stack) -> None:
    rights = (
        "SELECT rolname, datname FROM pg_roles, pg_database WHERE rolcanlogin AND NOT rolsuper "
        "AND NOT datistemplate AND has_database_privilege(rolname, datname, 'CONNECT')"
    )
    allowed = {tuple(line.split("|")) for line in stack.sql("postgres", rights).split()}
    assert allowed == LET_IN["control"] | LET_IN["flows"]


def test_the_databases_are_utf8_and_have_checksums(stack: Stack) -> None:
    query = "SELECT datname, pg_encoding_to_char(encoding) FROM pg_database"
    encodings = dict(line.split("|") for line in stack.sql("postgres", query).splitlines() if "|" in line)
    assert {encodings[name] for name in ("dagster", "langflow", "dagma", "tables")} == {"UTF8"}
    assert stack.sql("postgres", "SHOW data_checksums").strip() == "on"


def test_the_log_has_changes_of_tables_and_roles_but_no_password(stack: Stack) -> None:
    stack.sql("postgres", "CREATE TABLE of_a_test (id int); DROP TABLE of_a_test")
    log = stack.run("logs", "--no-log-prefix", "postgres")
    assert "statement: CREATE TABLE of_a_test" in log
    assert "CREATE ROLE" not in log
    assert "ALTER ROLE" not in log
