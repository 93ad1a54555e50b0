"""The form in which a flow stands in a file: what its author chose, and nothing that a server or a canvas adds."""

import copy
import hashlib
import json
from typing import Any

FlowDocument = dict[str, Any]
"""A flow as JSON: in a file, or as Langflow's API returns it."""

SERVER_DEFAULTS: FlowDocument = {
    "a2a_enabled": False,
    "access_type": "PRIVATE",
    "action_description": "",
    "action_name": "",
    "description": "",
    "flow_type": "workflow",
    "gradient": "",
    "icon": "",
    "icon_bg_color": "",
    "is_component": False,
    "locked": False,
    "mcp_enabled": False,
    "tags": [],
}
"""Langflow's own values of the optional fields: a file leaves them out."""

_FIELDS = frozenset({"id", "name", "endpoint_name", "a2a_card_overrides", *SERVER_DEFAULTS})
_NODE_FIELDS = frozenset({"data", "id", "parentId", "position", "type"})
_NOTE_FIELDS = _NODE_FIELDS | {"height", "style", "width"}
_EDGE_FIELDS = frozenset({"data", "id", "source", "sourceHandle", "target", "targetHandle"})
# What a canvas writes into a component by merely showing it: times, versions, and the list of models found just now.
_COMPONENT_NOISE = frozenset({"last_updated", "lf_version"})

PUSH_MARK = "dagma-pushed:"
"""Start of the tag that holds the fingerprint which was pushed last. Langflow's canvas keeps tags as they are."""


def normalize(flow: FlowDocument) -> FlowDocument:
    """Reduce a flow to what its author chose, so that two equal flows are two equal files.

    Times, owners, folders, selections, sizes on the screen, the canvas's viewport and the values of secret fields go;
    positions become whole numbers; the code of components becomes a list of lines, as in Langflow's own exports, so
    that a change of it can be read. Nodes and edges keep their order: a flow's outputs come in the order of its nodes.

    Args:
        flow: A flow from a file or from Langflow's API; it is not changed.

    Returns:
        The normalized flow.
    """
    document = {
        field: copy.deepcopy(value)
        for field, value in flow.items()
        if field in _FIELDS and value is not None and value != SERVER_DEFAULTS.get(field)
    }
    tags = [tag for tag in document.pop("tags", []) if not tag.startswith(PUSH_MARK)]
    if tags:
        document["tags"] = tags
    data = flow.get("data") or {}
    document["data"] = {
        "edges": [_pick(edge, _EDGE_FIELDS) for edge in data.get("edges", [])],
        "nodes": [_normalized_node(node) for node in data.get("nodes", [])],
    }
    return document


def fingerprint(flow: FlowDocument) -> str:
    """Name everything that the file of a flow holds: equal for equal files, wherever the flow comes from.

    A moved component counts, unlike in `dagma.langflow.content_version`, which tells whether a flow does the same.

    Args:
        flow: A flow, normalized or not.

    Returns:
        The first 16 hexadecimal digits of the SHA-256 of the normalized flow.
    """
    canonical = json.dumps(normalize(flow), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def to_text(flow: FlowDocument) -> str:
    """Write a flow as the text of its file.

    Args:
        flow: A flow, normalized or not.

    Returns:
        The normalized flow as indented JSON with sorted keys, ending in a newline.
    """
    return json.dumps(normalize(flow), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def pushed_fingerprint(flow: FlowDocument) -> str | None:
    """Read which fingerprint was pushed to the server last.

    Args:
        flow: A flow as Langflow's API returns it.

    Returns:
        The fingerprint, or None when the flow was never pushed.
    """
    for tag in flow.get("tags") or []:
        if tag.startswith(PUSH_MARK):
            return str(tag.removeprefix(PUSH_MARK))
    return None


def template_fields(node: FlowDocument) -> dict[str, dict[str, Any]]:
    """Return the input fields of a component's node by name.

    Args:
        node: A node of a flow.

    Returns:
        The fields; none for a note or a group without fields.
    """
    template = node.get("data", {}).get("node", {}).get("template") or {}
    return {name: field for name, field in template.items() if isinstance(field, dict)}


def is_secret(field: dict[str, Any]) -> bool:
    """Tell whether an input field holds a secret itself, and not the name of a global variable.

    Args:
        field: An input field of a component.

    Returns:
        True for a password field with a value of its own.
    """
    return bool(field.get("password") and field.get("value") and not field.get("load_from_db"))


def _normalized_node(node: FlowDocument) -> FlowDocument:
    kept = _pick(node, _NOTE_FIELDS if node.get("type") == "noteNode" else _NODE_FIELDS)
    if isinstance(position := kept.get("position"), dict):
        kept["position"] = {axis: round(value) for axis, value in position.items()}
    component = kept.get("data", {}).get("node")
    if isinstance(component, dict):
        for name in _COMPONENT_NOISE & component.keys():
            del component[name]
    for field in template_fields(kept).values():
        if field.get("type") == "model":
            field.pop("options", None)
        if field.get("type") == "code" and isinstance(field.get("value"), str):
            field["value"] = field["value"].split("\n")
        if is_secret(field):
            field["value"] = ""
    inner = (component or {}).get("flow", {}).get("data") if isinstance(component, dict) else None
    if inner:
        # A group of components holds a flow of its own.
        component["flow"]["data"]["nodes"] = [_normalized_node(child) for child in inner.get("nodes", [])]
    return kept


def _pick(source: FlowDocument, fields: frozenset[str]) -> FlowDocument:
    return {field: copy.deepcopy(value) for field, value in source.items() if field in fields}
