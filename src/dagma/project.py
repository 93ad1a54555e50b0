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


def flows_folder() -> Path:
    """Give the folder of flows as files: `DAGMA_FLOWS_DIR`, or `flows/` of the checkout that this package stands in."""
    configured = environment.text("DAGMA_FLOWS_DIR")
    return Path(configured) if configured else Path(__file__).resolve().parents[2] / "flows"


def storage_folder() -> Path | None:
    """Give the folder that all processes share: `DAGMA_STORAGE_DIR`, else `DAGSTER_HOME`; None where neither is set."""
    configured = environment.text("DAGMA_STORAGE_DIR") or environment.text("DAGSTER_HOME")
    return Path(configured) if configured else None


def mark_definitions_changed(part: str, revision: str) -> None:
    """Tell workers that the project's definitions are to be loaded anew although no file of the project has changed.

    Marking a part of them with the same revision again tells nobody. An OSError says that it can't be written.
    """
    if (folder := _marks()) is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / part
    if not mark.is_file() or mark.read_text(encoding="utf-8") != revision:
        mark.write_text(revision, encoding="utf-8")


def definitions_revision() -> tuple[Path, frozenset[tuple[str, int]]]:
    """Tell one state of the project's definitions from another: the project's copy, and when which part was marked."""
    folder = _marks()
    try:
        marks = [(mark.name, mark.stat().st_mtime_ns) for mark in folder.iterdir()] if folder is not None else []
    except FileNotFoundError:
        marks = []
    return project_folder(), frozenset(marks)


def _marks() -> Path | None:
    storage = storage_folder()
    return storage / "changed_definitions" if storage is not None else None


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
