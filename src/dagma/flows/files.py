"""The folder `flows/`: one JSON file per flow, named by its endpoint name."""

import json
import re
from contextlib import suppress
from pathlib import Path

from dagma.flows.document import FlowDocument, to_text

# File systems take 255 bytes for a name. All characters of a stem are ASCII.
LONGEST_STEM = 255 - len(".json")


class FlowFileError(ValueError):
    """A file holds no flow; the message says why, and the fix."""


def read_flows(folder: Path) -> dict[Path, FlowDocument]:
    """Read the flows of a folder's .json files, by file, in the order of the files' names.

    Raises:
        FileNotFoundError: The folder does not exist.
        FlowFileError: A file is no JSON object.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of flows at {folder}: name the right one with --dir")
    return {path: read_flow(path) for path in sorted(folder.glob("*.json"))}


def file_name(flow: FlowDocument) -> str:
    """Name the file of a flow: by its endpoint name, or by its name in lower case with dashes.

    A name that is too long for a file system is cut, and ends with the flow's id.
    """
    wanted = flow.get("endpoint_name") or str(flow.get("name", "")).lower()
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-")
    if len(stem) > LONGEST_STEM:
        ending = f"-{flow['id']}"
        stem = stem[: LONGEST_STEM - len(ending)].rstrip("-") + ending
    return f"{stem or flow['id']}.json"


def write_flow(flow: FlowDocument, folder: Path) -> tuple[Path, bool]:
    """Write a flow to its file, which is replaced if it is broken; a file of the same flow under another name goes.

    Returns:
        The file, and whether anything changed.

    Raises:
        FileExistsError: The file belongs to another flow.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = _readable_flows(folder)
    path = folder / file_name(flow)
    if path in present and present[path].get("id") != flow["id"]:
        raise FileExistsError(f"{path} holds another flow: give one of the two another endpoint name")
    for other in [other for other, kept in present.items() if kept.get("id") == flow["id"] and other != path]:
        other.unlink()
    text = to_text(flow)
    if path in present and path.read_text(encoding="utf-8") == text:
        return path, False
    path.write_text(text, encoding="utf-8")
    return path, True


def read_flow(path: Path) -> FlowDocument:
    """Read the flow of a file.

    Raises:
        FlowFileError: It is no JSON object.
    """
    try:
        flow: FlowDocument = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FlowFileError(f"{path} is no JSON ({error}): fix the file, or pull the flow again") from error
    if not isinstance(flow, dict):
        raise FlowFileError(f"{path} holds no flow: a flow is a JSON object with id, name and data")
    return flow


def _readable_flows(folder: Path) -> dict[Path, FlowDocument]:
    flows = {}
    for path in folder.glob("*.json"):
        with suppress(FlowFileError):
            flows[path] = read_flow(path)
    return flows
