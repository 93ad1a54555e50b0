"""What the image dagma/dagma installs: the wheel of src/."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from unit.scripts.compose import ROOT


def test_packages_beside_dagma_are_part_of_the_wheel(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for package in ("dagma", "my_flows"):
        (tmp_path / "src" / package).mkdir(parents=True)
        shutil.copy(ROOT / "src/dagma/__init__.py", tmp_path / "src" / package)

    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)

    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert {"dagma/__init__.py", "my_flows/__init__.py"} <= set(zipfile.ZipFile(wheel).namelist())
