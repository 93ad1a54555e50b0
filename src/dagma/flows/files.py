"""The folder `flows/`: one JSON file per flow, named by its endpoint name."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dagma.flows.document import SERVER_DEFAULTS, FlowDocument, to_text

# File systems take 255 bytes for a name. All characters of a stem are ASCII.
LONGEST_STEM = 255 - len(".json")

# What the fields of a flow are, as far as they are no object or list of Langflow's own.
_EXAMPLES = {"id": "", "name": "", "endpoint_name": "", **SERVER_DEFAULTS}
_KINDS = {str: "a text", bool: "true or false", list: "a list of texts"}

# A file's new text before it takes the file's place; no longer than .json, for the longest stem.
_NEW = ".new"


class FlowFileError(ValueError):
    """A file holds no flow; the message says why, and the fix."""


@dataclass(frozen=True)
class Written:
    """What was done with a flow's file."""

    path: Path
    changed: bool
    """Whether the file is new or other than before."""
    problem: str | None = None
    """Why it was not written."""


def read_flows(folder: Path) -> dict[Path, FlowDocument]:
    """Read the flows of a folder's .json files, by file, in the order of the files' names.

    Raises:
        FileNotFoundError: The folder does not exist.
        FlowFileError: A file is no JSON object, or a field of it has a wrong type.
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


def write_flows(flows: list[FlowDocument], folder: Path) -> dict[str, Written]:
    """Write flows to their files; a file of the same flow under another name goes.

    A file is replaced if it is broken, or if its flow is written under another name in the same call. All new texts
    stand beside the files before any file goes: a call that dies loses no flow, and the next one completes it.

    Returns:
        What was done with each flow, by its id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = _readable_flows(folder)
    targets = {str(flow["id"]): folder / file_name(flow) for flow in flows}
    refused = _refused(targets, present)
    texts = {targets[flow["id"]]: to_text(flow) for flow in flows if flow["id"] not in refused}
    changed = {
        path: text for path, text in texts.items() if path not in present or path.read_text(encoding="utf-8") != text
    }
    for path, text in changed.items():
        path.with_suffix(_NEW).write_text(text, encoding="utf-8")
    for path, kept in present.items():
        flow_id = str(kept.get("id"))
        if flow_id not in refused and targets.get(flow_id, path) != path:
            path.unlink()
    for path in changed:
        path.with_suffix(_NEW).replace(path)
    return {flow_id: Written(path, path in changed, refused.get(flow_id)) for flow_id, path in targets.items()}


def read_flow(path: Path) -> FlowDocument:
    """Read the flow of a file.

    Raises:
        FlowFileError: It is no JSON object, or a field of it has a wrong type.
    """
    try:
        flow: FlowDocument = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(flow, allow_nan=False)  # Python reads NaN, and numbers that it takes for infinite
    except (ValueError, RecursionError) as error:
        raise FlowFileError(f"{path} is no JSON ({error}): fix the file, or pull the flow again") from error
    if not isinstance(flow, dict):
        raise FlowFileError(f"{path} holds no flow: a flow is a JSON object with id, name and data")
    for field, example in _EXAMPLES.items():
        value, kind = flow.get(field), type(example)
        texts = value if isinstance(value, list) else []
        if not isinstance(value, kind | None) or not all(isinstance(each, str) for each in texts):
            raise FlowFileError(f"{path}: {field} must be {_KINDS[kind]}")
    return flow


def _readable_flows(folder: Path) -> dict[Path, FlowDocument]:
    flows = {}
    for path in folder.glob("*.json"):
        with suppress(FlowFileError):
            flows[path] = read_flow(path)
    return flows


def _refused(targets: dict[str, Path], present: dict[Path, FlowDocument]) -> dict[str, str]:
    """Find the flows, given by id with their files to be, that can't be written, and say why."""
    files: dict[str, list[Path]] = {}
    for path, flow in present.items():
        files.setdefault(str(flow.get("id")), []).append(path)
    refused = {
        flow_id: f"{' and '.join(map(str, sorted(files[flow_id])))} have the same id: "
        "give one of the two another id, or delete it"
        for flow_id in targets
        if len(files.get(flow_id, [])) > 1
    }
    while True:
        # A flow that is refused keeps its file, which can be in the way of one that was not refused before.
        taken = {
            path: flow_id
            for flow_id, paths in files.items()
            for path in paths
            if flow_id in refused or targets.get(flow_id, path) == path
        }
        for flow_id, path in targets.items():
            if flow_id not in refused and (other := taken.setdefault(path, flow_id)) != flow_id:
                refused[flow_id] = (
                    f"{path} holds another flow, {other}: pull that one too if it was renamed, "
                    "or give one of the two another endpoint name"
                )
                break
        else:
            return refused
