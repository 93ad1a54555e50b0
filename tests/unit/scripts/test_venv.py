"""scripts/venv.sh: the developer's tools, also after a run that was interrupted."""

import shutil

import pytest
from unit.scripts.conftest import Machine

# A Python whose `-m venv --clear .venv` makes another with pip and uv, which say what they are asked.
PYTHON = """case "$*" in
"-m venv --clear .venv") rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python
  printf '#!/bin/bash\\n' >.venv/bin/uv; chmod +x .venv/bin/uv; touch .venv/has-pip ;;
"-m pip "*) [ -e .venv/has-pip ] && echo "$*" >>asked ;;
"-c "*) ;;
*) exit 1 ;;
esac"""


@pytest.mark.parametrize("left", ["nothing", "no pip", "all of it"])
def test_an_environment_without_pip_is_made_anew(machine: Machine, left: str) -> None:
    machine.env["PYTHON"] = str(machine.add_program("python3", PYTHON))
    machine.add_program("sh", "exit 0")
    venv = machine.folder / ".venv"
    if left != "nothing":
        (venv / "bin").mkdir(parents=True)
        shutil.copy(machine.bin / "python3", venv / "bin/python")
        (venv / "of before").touch()
    if left == "all of it":
        (venv / "has-pip").touch()
        (venv / "bin/uv").symlink_to(machine.bin / "sh")
    done = machine.run_program("scripts/venv.sh")
    assert done.returncode == 0, done
    assert (venv / "ready").exists()
    assert (venv / "of before").exists() == (left == "all of it")
