"""The user's own pipelines: the folder `project/`, wherever this process has it."""

import sys
from pathlib import Path

from dagma import environment


def project_folder() -> Path:
    """Give the folder: `DAGMA_PROJECT_DIR`, or `project/` of the checkout that this package stands in.

    A link is followed: a process that has loaded one copy of the project imports no module of a later one.
    """
    configured = environment.text("DAGMA_PROJECT_DIR")
    return Path(configured).resolve() if configured else Path(__file__).resolve().parents[2] / "project"


def data_folder() -> Path:
    """Give the folder of the project's files: `project/data`, which the containers can read and not write."""
    return project_folder() / "data"


def add_to_path() -> None:
    """Let this process import the project's modules.

    Last of all, so that a file of the project can't stand in for a library of the same name.
    """
    folder = str(project_folder())
    if folder not in sys.path:
        sys.path.append(folder)
