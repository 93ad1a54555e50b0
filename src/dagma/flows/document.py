"""The form in which a flow stands in a file: what its author chose, and nothing that a server or a canvas adds."""

import copy
import hashlib
import json
from typing import Any

from dagma.langflow.untrusted_json import finite_number, objects, walk

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
# What a canvas writes into a component by showing it, or by saving it after a change elsewhere in the flow.
_COMPONENT_NOISE = frozenset({"last_updated", "lf_version"})
_TEMPLATE_NOISE = ("_frontend_node_", "is_refresh")  # the flow's and its folder's ids on that server; a flag

_MARK = "dagma-synced:"


def normalize(flow: FlowDocument) -> FlowDocument:
    """Reduce a flow to what its author chose, so that two equal flows are two equal files.

    Times, owners, folders, selections, sizes on the screen, the canvas's viewport and the values of secret fields go;
    positions become whole numbers; the code of components becomes a list of lines, as in Langflow's own exports, so
    that a change of it can be read. Nodes and edges keep their order: a flow's outputs come in the order of its nodes.
    The flow that is given is not changed.
    """
    document = {
        field: copy.deepcopy(value)
        for field, value in flow.items()
        if field in _FIELDS and value is not None and value != SERVER_DEFAULTS.get(field)
    }
    document.pop("tags", None)
    if tags := own_tags(flow):
        document["tags"] = tags
    document["data"] = {
        "edges": [_pick(edge, _EDGE_FIELDS) for edge in objects(walk(flow, "data", "edges"))],
        "nodes": [_normalized_node(node) for node in nodes_of(flow)],
    }
    return document


def fingerprint(flow: FlowDocument) -> str:
    """Name everything that the file of a flow holds: equal for equal files, wherever the flow comes from.

    A moved component counts, unlike in `dagma.langflow.content_version`, which tells whether a flow does the same.

    Returns:
        The first 16 hexadecimal digits of the SHA-256 of the normalized flow.
    """
    canonical = json.dumps(normalize(flow), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode(errors="backslashreplace")).hexdigest()[:16]


def to_text(flow: FlowDocument) -> str:
    """Write a flow as the text of its file: normalized, as indented JSON with sorted keys, ending in a newline."""
    text = json.dumps(normalize(flow), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    # Half a surrogate pair, which UTF-8 can't write, stands as JSON's escape of it.
    return text.encode(errors="backslashreplace").decode()


def synced_fingerprint(flow: FlowDocument) -> str | None:
    """Read which content the server's copy of a flow had when it was last pushed or pulled; None where it never was.

    It stands in a tag, which Langflow's canvas keeps as it is, so that one request stores the flow and its mark.
    """
    marks = [tag.removeprefix(_MARK) for tag in _tags(flow) if tag.startswith(_MARK)]
    # Earlier versions wrote the latest contents, this one last.
    return marks[-1].rpartition(",")[2] if marks else None


def own_tags(flow: FlowDocument) -> list[str]:
    """Return the tags that a flow's author has given it."""
    return [tag for tag in _tags(flow) if not tag.startswith(_MARK)]


def marked_tags(flow: FlowDocument) -> list[str]:
    """Give the flow's own tags, and one that says that file and server now hold this flow."""
    return [*own_tags(flow), _MARK + fingerprint(flow)]


def nodes_of(flow: FlowDocument) -> list[FlowDocument]:
    """Return the nodes of a flow: its components and notes; none where it has no graph."""
    return objects(walk(flow, "data", "nodes"))


def component_of(node: FlowDocument) -> dict[str, Any]:
    """Return what a node holds of its component: its fields, outputs and code; empty where it holds none."""
    component = walk(node, "data", "node")
    return component if isinstance(component, dict) else {}


def template_fields(node: FlowDocument) -> dict[str, dict[str, Any]]:
    """Return the input fields of a component's node by name; none for a note or a group without fields."""
    template = component_of(node).get("template")
    fields = template if isinstance(template, dict) else {}
    return {name: field for name, field in fields.items() if isinstance(field, dict)}


def is_secret(field: dict[str, Any]) -> bool:
    """Tell whether an input field holds a secret itself, and not the name of a global variable."""
    return bool(field.get("password") and field.get("value") and not field.get("load_from_db"))


def _tags(flow: FlowDocument) -> list[str]:
    tags = flow.get("tags")
    return [str(tag) for tag in tags] if isinstance(tags, list) else []


def _normalized_node(node: FlowDocument) -> FlowDocument:
    kept = _pick(node, _NOTE_FIELDS if node.get("type") == "noteNode" else _NODE_FIELDS)
    if isinstance(position := kept.get("position"), dict):
        kept["position"] = {
            axis: value if (number := finite_number(value)) is None else round(number)
            for axis, value in position.items()
        }
    if component := component_of(kept):
        _normalize_component(component)
    normalized: FlowDocument = _with_whole_numbers(kept)
    return normalized


def _normalize_component(component: dict[str, Any]) -> None:
    for name in _COMPONENT_NOISE & component.keys():
        del component[name]
    component["outputs"] = component.get("outputs") or []
    for output in objects(component["outputs"]):
        for name in [name for name, value in output.items() if value is None]:
            del output[name]
    template = component.get("template")
    template = template if isinstance(template, dict) else {}
    for name, field in list(template.items()):
        if name.startswith(_TEMPLATE_NOISE):
            del template[name]
        elif isinstance(field, dict):
            _normalize_field(field)
    if children := objects(walk(component, "flow", "data", "nodes")):
        # A group of components holds a flow of its own.
        component["flow"]["data"]["nodes"] = [_normalized_node(child) for child in children]


def _normalize_field(field: dict[str, Any]) -> None:
    if field.get("type") == "model":
        field.pop("options", None)  # the models that were found just now
    if field.get("type") == "code" and isinstance(field.get("value"), str):
        field["value"] = field["value"].split("\n")
    if is_secret(field):
        field["value"] = ""


def _with_whole_numbers(value: Any) -> Any:
    """Write 1.0 as 1, as a browser does."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _with_whole_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(item) for item in value]
    return value


def _pick(source: FlowDocument, fields: frozenset[str]) -> FlowDocument:
    return {field: copy.deepcopy(value) for field, value in source.items() if field in fields}
