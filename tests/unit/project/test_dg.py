"""Dagster's command line `dg` works in a project."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from unit.docs.test_examples import block_with
from unit.scripts.compose import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the shipped project, with the first asset of the documents."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "project", folder)
    (folder / "defs/capital.py").write_text(block_with("docs/project.md", "def capital("))
    return folder


def dg(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "dg"), *arguments],
        cwd=project,
        env={**os.environ, "DAGMA_PROJECT_DIR": str(project), "DAGSTER_HOME": str(project.parent)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_scaffolded_is_checked_and_listed(project: Path) -> None:
    dg(project, "scaffold", "defs", "dagster.asset", "texts/summary.py")
    dg(project, "check", "defs")
    listed = json.loads(dg(project, "list", "defs", "--json"))
    assert {asset["asset_key"] for asset in listed["assets"]} == {"capital", "summary"}
