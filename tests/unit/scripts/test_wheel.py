"""What the image dagma/dagma installs: this package, and nothing that users write."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from unit.scripts.compose import ROOT


def test_the_wheel_holds_this_package_and_nothing_of_the_project(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for package in ("src/dagma", "project/my_flows"):
        (tmp_path / package).mkdir(parents=True)
        shutil.copy(ROOT / "src/dagma/__init__.py", tmp_path / package)

    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)

    (wheel,) = (tmp_path / "dist").glob("*.whl")
    code = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert code == ["dagma/__init__.py"]
