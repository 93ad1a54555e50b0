"""scripts/secrets.sh: one file per secret, and a revision for whoever reads one that changed."""

import stat
from pathlib import Path

import pytest
from unit.scripts.conftest import Machine

KEY = "LLM_API_KEY"


@pytest.fixture
def made(machine: Machine) -> Machine:
    """A machine with .env and its secrets."""
    machine.run("make_env_file")
    assert machine.run("write_secrets").returncode == 0
    return machine


def secret(machine: Machine, name: str, folder: str = ".secrets") -> str:
    return (machine.folder / folder / name).read_text()


def revisions(machine: Machine) -> dict[str, str]:
    return {path.name: path.read_text() for path in (machine.folder / ".secrets" / "revisions").iterdir()}


def set_variable(machine: Machine, line: str) -> None:
    env = machine.folder / ".env"
    name = line.split("=", 1)[0]
    kept = [each for each in env.read_text().splitlines() if not each.startswith(f"{name}=")]
    env.write_text("\n".join([*kept, line]) + "\n")


def test_a_secret_is_what_env_says_without_a_newline(made: Machine) -> None:
    settings = dict(line.split("=", 1) for line in (made.folder / ".env").read_text().splitlines() if "=" in line)
    for name in ("DAGSTER_PG_PASSWORD", "LANGFLOW_API_KEY", "LANGFLOW_SECRET_KEY", "REDIS_PASSWORD"):
        assert secret(made, name) == settings[name]
    assert secret(made, KEY) == ""


def test_addresses_hold_the_password_of_their_service(made: Machine) -> None:
    broker, ledger, owner = (
        secret(made, name) for name in ("REDIS_PASSWORD", "DAGMA_PG_PASSWORD", "DAGMA_PG_OWNER_PASSWORD")
    )
    assert secret(made, "CELERY_BROKER_URL") == f"redis://:{broker}@redis:6379/0"
    assert secret(made, "CELERY_RESULT_BACKEND") == f"redis://:{broker}@redis:6379/1"
    assert secret(made, "DAGMA_LEDGER_URL") == f"postgresql://dagma:{ledger}@postgres-control:5432/dagma"
    assert secret(made, "DAGMA_LEDGER_OWNER_URL") == f"postgresql://dagma_owner:{owner}@postgres-control:5432/dagma"


def test_containers_can_read_them_and_other_users_of_the_machine_cannot(made: Machine) -> None:
    folder = made.folder / ".secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()} == {0o444}


def test_a_folder_that_others_can_enter_is_closed(machine: Machine) -> None:
    (machine.folder / ".secrets").mkdir(mode=0o755)
    machine.run("make_env_file; write_secrets")
    assert stat.S_IMODE((machine.folder / ".secrets").stat().st_mode) == 0o700


def test_the_folder_can_be_another(made: Machine, tmp_path: Path) -> None:
    made.run("write_secrets", DAGMA_SECRETS_DIR=str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / "REDIS_PASSWORD").read_text() == secret(made, "REDIS_PASSWORD")
    set_variable(made, f"DAGMA_SECRETS_DIR='{tmp_path}/quoted'")
    made.run("write_secrets")
    assert (tmp_path / "quoted" / "REDIS_PASSWORD").read_text() == secret(made, "REDIS_PASSWORD")


@pytest.mark.parametrize("folder", ["~/dagma-secrets", "secrets", "../secrets", "./.secrets"])
def test_a_folder_that_git_would_not_ignore_is_refused(machine: Machine, folder: str) -> None:
    machine.run("make_env_file")
    before = sorted(machine.folder.iterdir())
    said = machine.refusal("write_secrets", DAGMA_SECRETS_DIR=folder)
    assert f'DAGMA_SECRETS_DIR is "{folder}"' in said
    assert "a path that begins with /" in said
    assert sorted(machine.folder.iterdir()) == before


def test_an_env_of_before_has_no_folder_and_gets_the_usual_one(machine: Machine) -> None:
    machine.run("make_env_file")
    env = machine.folder / ".env"
    env.write_text("".join(line for line in env.read_text().splitlines(keepends=True) if "SECRETS_DIR" not in line))
    assert machine.run("write_secrets").returncode == 0
    assert len(secret(machine, "REDIS_PASSWORD")) == 48


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (f"{KEY}=plain-key", "plain-key"),
        (f"{KEY}= blanks around  ", "blanks around"),
        (f"{KEY}=cut # a comment", "cut"),
        (f"{KEY}=of Windows\r", "of Windows"),
        (f"{KEY}=not#cut", "not#cut"),
        (f"{KEY}='a$b ${{C}} \\n # \"all\" of it' # but this", 'a$b ${C} \\n # "all" of it'),
        (f'{KEY}="double # quotes"', "double # quotes"),
        (f"{KEY}=back\\slash", "back\\slash"),
        (f"{KEY}=it's", "it's"),
        (f"export {KEY}=exported", "exported"),
        (f"  {KEY} = indented", "indented"),
        (f"{KEY}: of YAML", "of YAML"),
        (f"OTHER_{KEY}=another\n{KEY}=first\n{KEY}=last", "last"),
        (f'{KEY}={{"X-Key": "value"}}', '{"X-Key": "value"}'),
        (f"# {KEY}=commented\n{KEY}=", ""),
    ],
)
def test_a_value_is_read_as_compose_reads_it(machine: Machine, line: str, value: str) -> None:
    machine.write(".env", line + "\n")
    done = machine.run(f"dotenv {KEY}")
    assert (done.returncode, done.stdout) == (0, value), done.stderr


@pytest.mark.parametrize(
    ("value", "told"),
    [
        *((value, f"put the value into single quotes: {KEY}='...'") for value in ("a$b", '"a$b"', '"a\\nb"')),
        *((value, "goes on behind its closing quote") for value in ("'pass'word#1'", '"say "hi" now"', "'it\\'s'")),
        ("'one\ntwo'", "has a quote that does not end on its line"),
    ],
)
def test_a_value_that_compose_would_read_otherwise_is_refused_with_the_fix(
    machine: Machine, value: str, told: str
) -> None:
    machine.write(".env", f"{KEY}={value}\n")
    assert told in machine.refusal(f"dotenv {KEY}")


def test_a_value_that_can_not_be_read_changes_nothing(made: Machine) -> None:
    before = revisions(made)
    set_variable(made, f"{KEY}=a$b")
    assert f"{KEY} in .env has a $" in made.refusal("write_secrets")
    assert (revisions(made), secret(made, KEY)) == (before, "")


@pytest.mark.parametrize("program", ["cat", "sed"])
def test_a_password_that_can_not_be_read_is_never_an_empty_one(machine: Machine, program: str) -> None:
    machine.run("make_env_file")
    (machine.bin / program).unlink()
    machine.run("write_secrets")
    written = machine.folder / ".secrets" / "CELERY_BROKER_URL"
    assert not written.exists() or "redis://:@" not in written.read_text()


def test_the_environment_wins(made: Machine) -> None:
    set_variable(made, f"{KEY}=of the file")
    made.run("write_secrets", LLM_API_KEY="a$b of the shell")
    assert secret(made, KEY) == "a$b of the shell"


def test_a_second_time_changes_nothing(made: Machine) -> None:
    folder = made.folder / ".secrets"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert made.run("write_secrets").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_change_is_a_new_revision_for_those_who_read_it(made: Machine) -> None:
    before = revisions(made)
    assert before.keys() == {"postgres", "redis", "langflow", "dagster", "dagma", "uis", "gateway"}
    for line, readers in (
        (f"{KEY}=new", {"langflow"}),
        ("REDIS_PASSWORD=new", {"redis", "dagster", "dagma"}),
        ("DAGMA_PG_PASSWORD=new", {"postgres", "dagma"}),
        ("TABLES_PG_PASSWORD=new", {"postgres", "dagma"}),
        ("DAGMA_TABLES_URL=postgresql://me:mine@db.example/mine", {"dagma"}),
        ("LANGFLOW_API_KEY=new", {"langflow", "dagma"}),
    ):
        set_variable(made, line)
        made.run("write_secrets")
        after = revisions(made)
        assert {group for group in after if after[group] != before[group]} == readers, line
        before = after


def test_what_was_interrupted_is_made_up_for(made: Machine) -> None:
    set_variable(made, f"{KEY}=new")
    before = revisions(made)
    made.run("mv() { exit 1; }; write_secrets")
    assert secret(made, KEY) == ""
    between = revisions(made)
    assert made.run("write_secrets").returncode == 0
    assert secret(made, KEY) == "new"
    assert len({before["langflow"], between["langflow"], revisions(made)["langflow"]}) == 3


def test_a_revision_says_nothing_of_the_secret(made: Machine) -> None:
    set_variable(made, f"{KEY}=one")
    made.run("write_secrets")
    one = revisions(made)["langflow"]
    set_variable(made, f"{KEY}=two")
    made.run("write_secrets")
    set_variable(made, f"{KEY}=one")
    made.run("write_secrets")
    assert revisions(made)["langflow"] != one


def test_what_runs_keeps_the_secret_that_it_started_with(made: Machine) -> None:
    """A container sees the file that it was given, not the one of that name."""
    given = (made.folder / ".secrets" / KEY).open()
    set_variable(made, f"{KEY}=new")
    made.run("write_secrets")
    assert given.read() == ""
    given.close()


@pytest.fixture
def own(made: Machine) -> Path:
    """The file of the project's own variables."""
    (made.folder / "project").mkdir()
    return made.folder / "project" / ".env"


def test_a_variable_of_the_project_is_a_file_that_its_containers_can_read(made: Machine, own: Path) -> None:
    own.write_text("# a comment\nSHOP_DB_URL='postgresql://me:a$b@db.example.com/shop'\nexport MAIL_KEY = k # or\n")
    assert made.run("write_secrets").returncode == 0
    assert secret(made, "SHOP_DB_URL", ".secrets/project") == "postgresql://me:a$b@db.example.com/shop"
    assert secret(made, "MAIL_KEY", ".secrets/project") == "k"
    folder = made.folder / ".secrets" / "project"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}


def test_a_variable_that_the_project_has_no_more_is_gone(made: Machine, own: Path) -> None:
    own.write_text("SHOP_DB_URL=one\nMAIL_KEY=k\n")
    made.run("write_secrets")
    own.write_text("SHOP_DB_URL=two\n")
    made.run("write_secrets")
    folder = made.folder / ".secrets" / "project"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"SHOP_DB_URL": "two"}
    own.unlink()
    made.run("write_secrets")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("DAGMA_QUOTAS=calls=1/day", "project/.env has DAGMA_QUOTAS, a setting of the stack\n fix: move it to .env"),
        ("USER=shop", "project/.env has USER, which every shell or container sets itself"),
        ("SHOP_DB_URL=a$b", "SHOP_DB_URL in project/.env has a $"),
        ("SHOP_DB_URL='a", "SHOP_DB_URL in project/.env has a quote that does not end"),
    ],
)
def test_a_variable_of_the_project_that_cannot_be_used_is_refused(
    made: Machine, own: Path, line: str, cause: str
) -> None:
    own.write_text(line + "\n")
    assert cause in made.refusal("write_secrets")


@pytest.mark.parametrize(
    "line", ["BROKEN LINE", "my secret", "MAIL-KEY=secret", "1KEY=secret", "=secret", "KEY: secret"]
)
def test_a_line_of_the_project_that_sets_nothing_is_told_by_its_number_and_changes_nothing(
    made: Machine, own: Path, line: str
) -> None:
    own.write_text(f"# a comment\n\n  MAIL_KEY=k\r\n{line}\nSHOP_KEY=s")
    set_variable(made, f"{KEY}=new")
    for check in ("write_secrets", "check_project_env_file"):
        said = made.refusal(check)
        assert "error: project/.env, line 4: this is not NAME=value" in said
        assert "secret" not in said
    assert secret(made, KEY) == ""
    assert not list((made.folder / ".secrets" / "project").iterdir())
