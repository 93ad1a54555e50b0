"""Dagster's command line `dg` works in a project."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from unit.docs.test_examples import block_with
from unit.scripts.compose import ROOT

# In one process, as most of a command's time goes into imports.
COMMANDS = """
import contextlib, sys
from dagster_dg_cli.cli import create_dg_cli

dg = create_dg_cli()
with contextlib.redirect_stdout(sys.stderr):
    dg(["scaffold", "defs", "dagster.asset", "texts/summary.py"], standalone_mode=False)
    dg(["scaffold", "defs", "dagma.FlowTable", "reviews"], standalone_mode=False)
    dg(["scaffold", "defs", "dagma.Flows", "care"], standalone_mode=False)
    dg(["check", "defs"], standalone_mode=False)
dg(["list", "defs", "--json"], standalone_mode=False)
"""


def test_what_is_scaffolded_is_checked_and_listed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    # Whoever deletes the example has an empty project that works.
    shutil.copytree(ROOT / "project", project, ignore=shutil.ignore_patterns("example"))
    (project / "defs/capital.py").write_text(block_with("docs/project.md", "def capital("))
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        cwd=project,
        env={
            **os.environ,
            "DAGMA_PROJECT_DIR": str(project),
            "DAGSTER_HOME": str(tmp_path),
            "DAGMA_FLOWS_DIR": str(ROOT / "flows"),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assets = json.loads(done.stdout)["assets"]
    assert {asset["asset_key"] for asset in assets} == {"capital", "summary", "reviews", "assistant", "echo"}
