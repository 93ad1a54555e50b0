"""Runs functions of scripts/*.sh in a bash of their own, in a folder that looks like the repository."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# What the scripts call, docker apart.
PROGRAMS = (
    *("awk", "base64", "bash", "cat", "chmod", "cksum", "cmp", "cp", "cut", "df", "dirname", "env", "find", "grep"),
    *("head", "id", "ln", "mkdir", "mv", "od", "printenv", "rm", "sed", "sha256sum", "sleep", "sort", "tail"),
    *("touch", "tr", "uname", "wc"),
)
LIBRARIES = (
    *("thresholds", "lib", "preflight", "ensure-engine", "ensure-chromium", "env-file", "gateway", "secrets"),
    *("images", "project", "outbound", "stack", "last-up"),
)


@dataclass
class Machine:
    """A folder with the scripts, and a PATH that has the usual programs and only those others that a test adds."""

    folder: Path
    bin: Path
    env: dict[str, str] = field(default_factory=dict)

    def add_program(self, name: str, code: str) -> Path:
        """Put a shell script on the PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{code}\n")
        path.chmod(0o755)
        return path

    def add_docker(self, cases: str) -> None:
        """Put a docker on the PATH that answers these cases of its arguments, and fails on others."""
        self.add_program("docker", f'case "$*" in\n{cases}\n*) exit 1 ;;\nesac')

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def command(self, code: str) -> list[str]:
        """What runs this code with every library of the scripts sourced."""
        sourced = "".join(f". scripts/{name}.sh\n" for name in LIBRARIES)
        return [str(self.bin / "bash"), "-Eeuo", "pipefail", "-c", sourced + code]

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "LC_ALL": "C", **self.env}

    def run(self, code: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run the code without a terminal."""
        return self._run(self.command(code), **env)

    def run_program(self, program: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run a script of its own without a terminal."""
        return self._run([str(self.bin / "bash"), program], **env)

    def _run(self, command: list[str], **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def refusal(self, code: str, **env: str) -> str:
        """Run code that must stop with an error; return what it says."""
        done = self.run(code, **env)
        assert done.returncode == 1, done
        assert "error: " in done.stderr
        assert "\n fix: " in done.stderr
        return done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without Docker and without .env."""
    folder = tmp_path / "dagma"
    folder.mkdir()
    for name in ("scripts", "docker", "flows"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / ".env.example", folder)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for program in PROGRAMS:
        path = shutil.which(program)
        assert path, f"this machine has no {program}"
        (bin_folder / program).symlink_to(path)
    return Machine(folder, bin_folder)


@pytest.fixture
def answer(machine: Machine) -> Callable[..., tuple[int, str]]:
    """Run code in a terminal, type an answer, and return the exit code and what the terminal showed."""

    def run(code: str, typed: str, **env: str) -> tuple[int, str]:
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            machine.command(code),
            cwd=machine.folder,
            env={**machine.environment, **env},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        os.write(ours, typed.encode())
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # Linux's word for "the other end is closed"
            pass
        os.close(ours)
        return process.wait(timeout=60), shown.decode()

    return run
