"""The Makefile, as far as it does more than run a script: what is typed reaches its end as it was typed."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from unit.scripts.compose import ROOT

# Blanks, quotes, what make and the shell would expand, and several lines.
TYPED = (
    "What costs $5, and who is $HOME?",
    """It's "sure" $(touch made-by-a-shell) `touch made-by-a-shell` ; touch made-by-a-shell""",
    "$(shell touch made-by-make)${HOME}$$",
    "Is 50 % a half? # No comment \\ here",
    "two\nlines",
    "-n",
    "*",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout whose path has a blank, and a docker that prints its arguments, one a line."""
    folder = tmp_path / "a checkout"
    (folder / "flows").mkdir(parents=True)
    (folder / "bin").mkdir()
    docker = folder / "bin" / "docker"
    docker.write_text('#!/bin/bash\nfor argument; do printf "<%s>\\n" "$argument"; done\ncat\n')
    docker.chmod(0o755)
    (folder / "scripts").symlink_to(ROOT / "scripts")
    return folder


def make(folder: Path, *arguments: str, **env: str) -> str:
    """Run make; return what it prints, and be sure that no part of an argument was executed."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), *arguments],
        cwd=folder,
        env={"HOME": "/home/me", "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not list(folder.glob("made-by-*"))
    return done.stdout


@pytest.fixture
def script(folder: Path) -> Path:
    """A script that prints its variables, in the place of all."""
    (folder / "scripts").unlink()
    (folder / "scripts").mkdir()
    return folder / "scripts"


@pytest.mark.parametrize(("name", "env"), [("CDPATH", {"CDPATH": ".:/tmp"}), ("WORKERS", {})])
def test_the_folders_of_cd_and_what_is_not_typed_reach_no_script(
    folder: Path, script: Path, name: str, env: dict[str, str]
) -> None:
    (script / "up.sh").write_text(f'#!/bin/bash\nprintf "%s" "${{{name}-not set}}"\n')
    (script / "up.sh").chmod(0o755)
    assert make(folder, "up", **env) == "not set"


@pytest.mark.parametrize("typed", [*TYPED, ""])
@pytest.mark.parametrize(("target", "name"), [("ask", "Q"), ("ask", "FLOW"), ("up", "WORKERS"), ("up", "LLM_API_KEY")])
def test_a_variable_reaches_its_script_as_it_was_typed(
    folder: Path, script: Path, target: str, name: str, typed: str
) -> None:
    path = script / f"{target}.sh"
    path.write_text(f'#!/bin/bash\nprintf "%s" "${name}"\n')
    path.chmod(0o755)
    assert make(folder, target, f"{name}={typed}") == typed
    assert make(folder, target, **{name: typed}) == typed


def test_make_3_81_exports_what_is_typed() -> None:
    """It reads both words in one line as a part of the variable's name."""
    assert not re.search(r"eval override export|eval export override", (ROOT / "Makefile").read_text())


@pytest.mark.parametrize("target", ["secrets", "down", "ps", "logs", "flows-push", "flows-pull"])
def test_a_recipe_stops_at_its_first_failure_also_with_make_3_81(folder: Path, script: Path, target: str) -> None:
    for name in ("env-file", "gateway", "outbound"):
        (script / f"{name}.sh").write_text("")
    (script / "secrets.sh").write_text("write_secrets() { echo written; }\n")
    (script / "lib.sh").write_text("false\n")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        make(folder, target, ".SHELLFLAGS=-c")  # which that make does not read
    assert caught.value.stdout == ""


@pytest.mark.parametrize("name", ["Name with blanks", *TYPED])
def test_a_flow_is_pulled_by_any_name(folder: Path, name: str) -> None:
    printed = make(folder, "flows-pull", f"f={name}")
    assert f"<{folder / 'flows'}:/pulled>" in printed
    assert printed.endswith(f"<flows>\n<pull>\n<--dir>\n</pulled>\n<-->\n<{name}>\n")


def test_all_flows_are_pulled_where_none_is_named(folder: Path) -> None:
    assert make(folder, "flows-pull").endswith("<pull>\n<--dir>\n</pulled>\n<-->\n")


def test_a_push_is_forced_only_if_asked(folder: Path) -> None:
    assert make(folder, "flows-push").endswith("<--dir>\n</flows>\n")
    assert make(folder, "flows-push", "FORCE=1").endswith("<--dir>\n</flows>\n<--force>\n")


def test_several_logs_are_followed(folder: Path) -> None:
    assert make(folder, "logs", "s=worker redis").endswith("<100>\n<worker>\n<redis>\n")
    assert make(folder, "logs", "s=$(touch made-by-a-shell)").endswith("<$(touch>\n<made-by-a-shell)>\n")


@pytest.mark.parametrize("typed", TYPED)
def test_a_question_is_one_argument_of_the_command(folder: Path, typed: str) -> None:
    printed = make(folder, "ask", f"Q={typed}", "FLOW=My flow")
    # With the name of who asks.
    assert re.search(r"<exec>\n<-T>\n<--env>\n<LOGNAME=[^>]+>\n<user-code>\n<dagma>\n<ask>\n", printed)
    assert printed.endswith(f"<ask>\n<--flow>\n<My flow>\n<-->\n<{typed}>\n")


@pytest.mark.parametrize("variables", [(), ("Q=",)])
def test_a_question_that_is_none_is_refused_before_anything_is_asked(folder: Path, variables: tuple[str, ...]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        make(folder, "ask", *variables)
    assert "no question" in caught.value.stderr
    assert "make ask" in caught.value.stderr
    assert caught.value.stdout == ""


def test_a_stack_that_is_down_is_said_so(folder: Path) -> None:
    (folder / "bin" / "docker").write_text("#!/bin/bash\n")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        make(folder, "ask", "Q=hi")
    assert "the stack is not up" in caught.value.stderr
    assert "make up" in caught.value.stderr


def test_the_example_runs_on_a_stack_that_is_up(folder: Path) -> None:
    assert make(folder, "example").endswith("<user-code>\n<dagma>\n<run>\n<review_sentiments_job>\n")


def test_the_example_brings_up_a_stack_that_is_down(folder: Path, script: Path) -> None:
    (folder / "bin" / "docker").write_text('#!/bin/bash\n[ "$2" = ps ] || echo "$@"\n')
    (script / "example.sh").symlink_to(ROOT / "scripts" / "example.sh")
    (script / "up.sh").write_text("#!/bin/bash\necho up\n")
    (script / "up.sh").chmod(0o755)
    up, run = make(folder, "example").splitlines()
    assert up == "up"
    assert run.endswith("dagma run review_sentiments_job")


@pytest.mark.parametrize(
    ("variables", "installed"),
    [
        ([], ["langflow", "llm"]),
        (["LLM_BASE_URL=http://gpu.lan/v1"], ["langflow"]),
        (["LANGFLOW_BASE_URL=http://langflow.lan"], []),
    ],
)
def test_dev_installs_what_it_starts(folder: Path, variables: list[str], installed: list[str]) -> None:
    for name in ("langflow", "llm"):
        (folder / "docker" / name).mkdir(parents=True)
        (folder / "docker" / name / "requirements.txt").touch()
    (folder / ".venv").mkdir()
    printed = make(folder, "--dry-run", "--old-file", ".venv/ready", "dev", *variables)
    assert re.findall(r"dev-venv\.sh (\w+)", printed) == installed
