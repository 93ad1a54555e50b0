"""scripts/lib.sh: the vocabulary of the scripts."""

from collections.abc import Callable

import pytest
from unit.scripts.conftest import Machine

Answer = Callable[..., tuple[int, str]]


@pytest.mark.parametrize(
    ("have", "want", "enough"),
    [
        ("26.1.5", "25", True),
        ("25.0.0", "25", True),
        ("25", "25", True),
        ("24.0.9", "25", False),
        ("2.24", "2.24", True),
        ("2.24.0", "2.24", True),
        ("2.9.0", "2.24", False),
        ("2.100.1", "2.24", True),
        ("26.1.5+dfsg1", "25", True),
        ("5.0.0-desktop.1", "2.24", True),
    ],
)
def test_versions_are_compared_as_versions(machine: Machine, have: str, want: str, enough: bool) -> None:
    assert (machine.run(f"version_at_least {have} {want}").returncode == 0) is enough


def test_die_says_cause_and_fix_on_stderr(machine: Machine) -> None:
    done = machine.run('die "it is broken" "fix it"; echo went on')
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "\nerror: it is broken\n fix: fix it\n"


def test_a_setting_comes_from_the_environment_then_from_env_then_from_its_default(machine: Machine) -> None:
    def setting(arguments: str, **env: str) -> str:
        return machine.run(f'value=$(setting {arguments}); printf "%s" "$value"', **env).stdout

    assert setting("WORKERS 1") == "1"
    machine.write(".env", "WORKERS=2\nLANGFLOW_SCHEDULE_CRON=0 2 * * *\nEMPTY=\nA_URL=http://x/?a=b\n")
    assert setting("WORKERS 1") == "2"
    assert setting("WORKERS 1", WORKERS="3") == "3"
    assert setting("EMPTY fallback") == "fallback"
    assert setting("A_URL ''") == "http://x/?a=b"
    assert setting("LANGFLOW_SCHEDULE_CRON ''") == "0 2 * * *"
    machine.write(".env", "A_FOLDER='/a b'\nANOTHER=\"/c\"\n")
    assert setting("A_FOLDER ''") == "/a b"
    assert setting("ANOTHER ''") == "/c"


def test_a_setting_that_compose_would_change_is_refused(machine: Machine) -> None:
    machine.write(".env", "A_NAME=dagma$SECOND\n")
    assert "A_NAME in .env has a $" in machine.refusal("name=$(setting A_NAME dagma); echo went on")


def test_quietly_keeps_the_output_in_a_file_and_shows_its_end_when_the_command_fails(machine: Machine) -> None:
    fine = machine.run("quietly logs/fine.log echo much")
    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "", "")
    assert (machine.folder / "logs/fine.log").read_text() == "much\n"
    stderr = machine.refusal("quietly logs/bad.log sh_that_is_missing")
    assert "sh_that_is_missing failed" in stderr
    assert "read logs/bad.log" in stderr
    assert "command not found" in stderr


def test_quietly_shows_what_a_function_that_dies_says(machine: Machine) -> None:
    stderr = machine.refusal('give_up() { die "no mirror" "add one"; }; quietly logs/bad.log give_up')
    assert "error: no mirror" in stderr
    assert "give_up failed" in stderr


def test_an_engine_answers_only_where_the_client_gets_an_answer(machine: Machine) -> None:
    # `docker info` of 26.1 and 28.0 ends well without an engine.
    machine.add_docker("info*) echo ;;")
    assert machine.run("engine_answers").returncode == 1
    machine.add_docker("version*) echo 26.1.5 ;;")
    assert machine.run("engine_answers").returncode == 0


def test_phases_are_collected_with_their_seconds(machine: Machine) -> None:
    done = machine.run('phase engine true; phase images true; printf "%s" "$PHASES"')
    assert done.stdout == "engine 0 s, images 0 s"


def test_a_phase_that_fails_stops_the_script(machine: Machine) -> None:
    done = machine.run("phase engine false; echo went on")
    assert done.returncode != 0
    assert "went on" not in done.stdout


def test_agree_goes_on_without_a_terminal(machine: Machine) -> None:
    done = machine.run('agree "Delete everything?"')
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("typed", "agreed"), [("y\n", True), ("yes\n", True), ("n\n", False), ("\n", False)])
def test_agree_asks_in_a_terminal(answer: Answer, typed: str, agreed: bool) -> None:
    code, shown = answer('agree "Delete everything?"', typed)
    assert "Delete everything? [y/N]" in shown
    assert (code == 0) is agreed


def test_agree_asks_nothing_with_yes(answer: Answer) -> None:
    code, shown = answer('agree "Delete everything?" && echo agreed', "", YES="1")
    assert code == 0
    assert "[y/N]" not in shown
    assert "agreed" in shown


def test_clean_without_a_terminal_deletes_nothing_unless_told(machine: Machine) -> None:
    done = machine.run("scripts/clean.sh")
    assert done.returncode == 1
    assert "make clean YES=1" in done.stderr


def test_clean_whose_output_is_no_terminal_deletes_nothing_unless_told(answer: Answer) -> None:
    code, shown = answer("scripts/clean.sh | cat", "")
    assert code == 1
    assert "make clean YES=1" in shown
