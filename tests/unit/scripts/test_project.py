"""scripts/project.sh: the copy of the project that containers get, and what is asked before they get it."""

import os
import time
from pathlib import Path

import pytest
from unit.scripts.conftest import Machine

COPY = "copy_project; echo $COPIES/$COPY"
LOGS = "mkdir -p .dev/logs .dev/project; COPY=0123456789ab; "


@pytest.fixture
def project(machine: Machine) -> Path:
    folder = machine.folder / "project"
    for name in ("defs", "data"):
        (folder / name).mkdir(parents=True)
    (folder / "defs" / "mine.py").write_text("x = 1\n")
    (folder / "dg.toml").write_text("[project]\n")
    return folder


def copied(machine: Machine) -> Path:
    done = machine.run(COPY)
    assert done.returncode == 0, done
    return machine.folder / done.stdout.strip()


def test_a_copy_is_named_by_what_is_in_it(machine: Machine, project: Path) -> None:
    first = copied(machine)
    assert (first / "defs/mine.py").read_text() == "x = 1\n"
    assert copied(machine) == first
    (project / "defs/mine.py").write_text("x = 2\n")
    second = copied(machine)
    assert second != first
    assert (first / "defs/mine.py").read_text() == "x = 1\n", "what runs keeps its version"
    (project / "defs/mine.py").rename(project / "defs/yours.py")
    assert copied(machine) not in (first, second)


def test_data_hidden_files_and_bytecode_make_no_other_version(machine: Machine, project: Path) -> None:
    before = copied(machine)
    (project / "data/rows.csv").write_text("a,b\n")
    (project / ".env").write_text("SECRET=1\n")
    (project / "defs/.hidden.py.swp").write_text("x")
    (project / "defs/__pycache__").mkdir()
    (project / "defs/__pycache__/mine.pyc").write_text("x")
    after = copied(machine)
    assert after == before
    assert sorted(path.name for path in after.rglob("*")) == ["data", "defs", "dg.toml", "mine.py"]


def test_a_copy_can_be_read_by_the_containers_users_whatever_the_umask(machine: Machine, project: Path) -> None:
    (project / "defs/mine.py").chmod(0o600)
    (project / "defs").chmod(0o700)
    copy = copied(machine)
    assert (copy / "defs").stat().st_mode & 0o005 == 0o005
    assert (copy / "defs/mine.py").stat().st_mode & 0o004


def test_a_link_is_followed_and_one_that_points_nowhere_refused(machine: Machine, project: Path) -> None:
    shared = machine.write("shared.py", "y = 2\n")
    (project / "shared.py").symlink_to(shared)
    assert (copied(machine) / "shared.py").read_text() == "y = 2\n"
    (project / "gone.py").symlink_to("/nowhere/gone.py")
    assert "project/gone.py can't be copied" in machine.refusal(COPY)


def test_data_are_made_where_they_are_missing_and_are_no_copy(machine: Machine, project: Path) -> None:
    (project / "data").rmdir()
    # Where the containers have the folder itself.
    assert (copied(machine) / "data").readlink() == Path("/opt/project-data")
    assert (project / "data").is_dir()


def test_one_copy_is_current(machine: Machine, project: Path) -> None:
    for text in ("x = 1\n", "x = 2\n"):
        (project / "defs/mine.py").write_text(text)
        assert machine.run("copy_project; use_copy").returncode == 0
        assert (machine.folder / ".dev/project/current/defs/mine.py").read_text() == text


def test_copies_are_kept_for_as_long_as_runs_may_need_them(machine: Machine, project: Path) -> None:
    older = copied(machine)
    (project / "defs/mine.py").write_text("x = 2\n")
    old = copied(machine)
    week_ago = time.time() - 8 * 24 * 3600
    os.utime(older, (week_ago, week_ago))
    (project / "defs/mine.py").write_text("x = 3\n")
    new = copied(machine)
    os.utime(new, (week_ago, week_ago))
    assert machine.run("copy_project; use_copy; forget_old_copies").returncode == 0
    assert (older.exists(), old.exists(), new.exists()) == (False, True, True)
    assert (machine.folder / ".dev/project/current").is_dir()


@pytest.mark.parametrize(
    ("backend", "locations"), [("langflow", "project"), ("mine:reply", "project dagma")], ids=["langflow", "own"]
)
def test_an_edit_is_loaded_by_the_locations_that_import_it(machine: Machine, backend: str, locations: str) -> None:
    machine.add_docker(f'"compose exec -T dagster-webserver dagma reload {locations}") ;;')
    assert machine.run("load_copy", DAGMA_BACKEND=backend).returncode == 0


def test_an_edit_that_could_not_be_loaded_is_told(machine: Machine) -> None:
    machine.add_docker('"compose exec "*) echo "dagma reload: no" >&2; exit 1 ;;')
    stderr = machine.refusal("load_copy")
    assert "dagma reload: no" in stderr
    assert "error: the project was not loaded" in stderr


def test_what_loads_is_passed_in_silence(machine: Machine) -> None:
    machine.add_docker('"compose run "*validate) echo "a warning" >&2 ;;')
    done = machine.run(LOGS + "check_definitions")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_does_not_load_is_told_and_what_runs_goes_on(machine: Machine) -> None:
    machine.add_docker(
        '"compose run "*validate) echo "DAGMA_QUOTAS: no"; exit 1 ;;\n"compose ps --quiet "*) echo 4711 ;;'
    )
    stderr = machine.refusal(LOGS + "check_definitions; echo went on")
    assert "settings or definitions can't be loaded; nothing was changed:\n  DAGMA_QUOTAS: no\n" in stderr


def test_a_check_that_could_not_be_made_says_why(machine: Machine) -> None:
    machine.add_docker('"compose run "*validate) echo "no such image" >&2; exit 125 ;;')
    stderr = machine.refusal(LOGS + "check_definitions")
    assert "no such image" in stderr
    assert "could not be checked" in stderr


def test_where_nothing_runs_the_ui_starts_and_shows_what_is_wrong(machine: Machine) -> None:
    machine.add_docker(
        '"compose run "*validate) echo "DAGMA_QUOTAS: no"; exit 1 ;;\n'
        '"compose ps --quiet "*) ;;\n'
        '"compose up "*"dagster-webserver dagster-daemon") ;;\n'
        '"compose up "*) exit 1 ;;\n'
        '"ps --all "*) printf "dagster-webserver running Up 1 minute (healthy)\\nuser-code running (unhealthy)\\n" ;;'
    )
    stderr = machine.refusal(LOGS + "check_definitions; start_stack")
    assert "warning: settings or definitions can't be loaded; the UI starts to show it" in stderr
    assert (
        "Dagster is up at http://127.0.0.1:3000, and some of its code locations are red:\n  DAGMA_QUOTAS: no" in stderr
    )
