"""The folder `flows/`: one JSON file per flow, named by its endpoint name."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dagma.flows.document import FlowDocument, to_text


class FlowFileError(ValueError):
    """A file holds no flow; the message says why, and the fix."""


@dataclass(frozen=True)
class Written:
    """What was done with a flow's file."""

    path: Path | None
    """The file; None where it was not written."""
    changed: bool = False
    """Whether the file is new or other than before."""
    problem: str = ""
    """Why it was not written."""


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
    """Name the file of a flow: by its endpoint name, or by its name in lower case with dashes."""
    wanted = flow.get("endpoint_name") or str(flow.get("name", "")).lower()
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', wanted).strip('-') or flow['id']}.json"


def write_flows(flows: list[FlowDocument], folder: Path) -> dict[str, Written]:
    """Write flows to their files; the file of the same flow under its name from before goes.

    A file that is broken is replaced, and one of another flow is not.

    Returns:
        What was done with each flow, by its id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = _readable_files(folder)
    return {flow["id"]: _write_flow(flow, folder / file_name(flow), present) for flow in flows}


def read_flow(path: Path) -> FlowDocument:
    """Read the flow of a file.

    Raises:
        FlowFileError: It is no JSON object.
    """
    try:
        flow: FlowDocument = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(flow, allow_nan=False)  # Python reads NaN, and numbers that it takes for infinite
    except (ValueError, RecursionError) as error:
        raise FlowFileError(f"{path} is not JSON ({error}): fix the file, or pull the flow again") from error
    if not isinstance(flow, dict):
        raise FlowFileError(f"{path} holds no flow: a flow is a JSON object with id, name and data")
    return flow


def _write_flow(flow: FlowDocument, path: Path, present: dict[Path, str]) -> Written:
    """Write a flow, and keep the ids of the files that are present current."""
    if (other := present.get(path, flow["id"])) != flow["id"]:
        return Written(
            None,
            problem=f"{path} holds another flow, {other}: give one of the two another endpoint name. If the other one "
            "was renamed, delete the file, and pull both",
        )
    earlier = [each for each, flow_id in present.items() if flow_id == flow["id"]]
    text = to_text(flow)
    changed = path not in earlier or path.read_text(encoding="utf-8") != text
    if path not in earlier and len(earlier) == 1:  # of more, all but one are copies by hand
        # Before the flow is written: if the names differ only in case, a disk can take both for the same file.
        earlier[0].replace(path)
        del present[earlier[0]]
    if changed:
        path.write_text(text, encoding="utf-8")
    present[path] = flow["id"]
    return Written(path, changed)


def _readable_files(folder: Path) -> dict[Path, str]:
    """Tell the id of the flow in each file."""
    present = {}
    for path in sorted(folder.glob("*.json")):
        with suppress(FlowFileError):
            present[path] = str(read_flow(path).get("id"))
    return present
