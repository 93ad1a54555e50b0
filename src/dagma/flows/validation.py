"""What can be wrong with a flow's file, found without a server."""

import re
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

from dagma.flows.document import FlowDocument, component_of, is_secret, nodes_of, template_fields
from dagma.langflow.untrusted_json import objects, text_or_none, walk

ENDPOINT_NAME = re.compile(r"[A-Za-z0-9_-]+")

# UUIDs that Langflow keeps for the histories of public flows: it refuses a flow with such an id.
_RESERVED_UUID_VERSION = 5

_SECRET_SHAPES = re.compile(
    r"""
      \b(?:sk|pk|rk)-[A-Za-z0-9_-]{20,}                 # OpenAI, Anthropic, Langfuse, ...
    | \b(?:ghp|gho|ghs|github_pat|glpat|hf|gsk|xox[abp])[_-][A-Za-z0-9_-]{20,}
    | \bAKIA[0-9A-Z]{16}\b | \bAIza[0-9A-Za-z_-]{35}    # AWS, Google
    | \beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.     # a JSON web token
    | \bBearer\s+[A-Za-z0-9._~+/-]{20,}
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    | ://[^/\s:@{}]+:[^/\s:@{}]+@                       # a password in a URL
    """,
    re.VERBOSE,
)


def problems(flow: FlowDocument) -> list[str]:
    """Find what would break a flow, or leak from it: a sentence for each problem."""
    return [*_identity_problems(flow), *_graph_problems(flow), *_secret_problems(flow)]


def clashes(flows: dict[str, FlowDocument]) -> list[str]:
    """Find flows, given by the names of their files, that can't stand beside each other on one server."""
    found = []
    for field in ("id", "name", "endpoint_name"):
        files: dict[str, list[str]] = {}
        for file, flow in flows.items():
            if value := flow.get(field):
                files.setdefault(str(value), []).append(file)
        found += [
            f"{field} {value!r} is taken twice: {', '.join(sorted(taken))}"
            for value, taken in files.items()
            if taken[1:]
        ]
    return found


def bound_variables(flow: FlowDocument) -> set[str]:
    """List the names of the global variables that a flow's fields are bound to."""
    return {
        field["value"]
        for node in nodes_of(flow)
        for field in template_fields(node).values()
        if field.get("load_from_db") and isinstance(field.get("value"), str) and field["value"]
    }


def _identity_problems(flow: FlowDocument) -> Iterator[str]:
    try:
        identity = uuid.UUID(str(flow.get("id")))
    except ValueError:
        yield f"id must be a UUID, not {flow.get('id')!r}"
    else:
        if flow["id"] != str(identity):
            yield f"id must be written as Langflow does: {identity}"
        if identity.version == _RESERVED_UUID_VERSION:
            yield f"id {identity} is a version 5 UUID, which Langflow keeps for itself: take a random one"
    if not flow.get("name"):
        yield "name is missing"
    if (endpoint := flow.get("endpoint_name")) and not ENDPOINT_NAME.fullmatch(str(endpoint)):
        yield f"endpoint_name {endpoint!r} may hold letters, digits, '-' and '_' only"


def _graph_problems(flow: FlowDocument) -> Iterator[str]:
    data = {kind: walk(flow, "data", kind) for kind in ("nodes", "edges")}
    if any(not isinstance(items, list) or items != objects(items) for items in data.values()):
        yield "data must hold the lists nodes and edges, of objects"
        return
    if not data["nodes"]:
        yield "the flow has no component"
    nodes = {str(node.get("id")): node for node in data["nodes"]}
    for name, component in ((name, component_of(node)) for name, node in nodes.items()):
        outputs = component.get("outputs") or []
        if not isinstance(component.get("template") or {}, dict) or outputs != objects(outputs):
            yield f"{name}: template must be an object, and outputs a list of objects"
    for kind, items in data.items():
        counted = Counter(str(item.get("id")) for item in items)
        yield from (f"{kind}: id {name!r} is taken {times} times" for name, times in counted.items() if times > 1)
    for edge in data["edges"]:
        ends = (str(edge.get("source")), str(edge.get("target")))
        missing = [end for end in ends if end not in nodes]
        yield from (f"an edge leads to {end!r}, which is no component of this flow" for end in missing)
        if not missing:
            yield from _handle_problems(edge, nodes[ends[0]], nodes[ends[1]])


def _handle_problems(edge: FlowDocument, source: FlowDocument, target: FlowDocument) -> Iterator[str]:
    output = walk(edge, "data", "sourceHandle", "name")
    outputs = [each.get("name") for each in objects(component_of(source).get("outputs"))]
    if output and outputs and output not in outputs:
        yield f"an edge starts at output {output!r}, which {source['id']} does not have"
    field = text_or_none(walk(edge, "data", "targetHandle", "fieldName"))
    fields = template_fields(target)
    if field and fields and field not in fields:
        yield f"an edge ends at field {field!r}, which {target['id']} does not have"


def _secret_problems(flow: FlowDocument) -> Iterator[str]:
    for node in nodes_of(flow):
        for name, field in template_fields(node).items():
            if is_secret(field):
                yield f"{node.get('id')}.{name} holds a secret: bind the field to a global variable of type Credential"
    for place, text in _strings(flow, ""):
        if _SECRET_SHAPES.search(text):
            yield f"{place} holds what looks like a secret: use a global variable of type Credential instead"


def _strings(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield every string of a JSON value with its place; a component's id stands for its number in the list."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            name = item.get("id", number) if isinstance(item, dict) else number
            yield from _strings(item, f"{place}[{name}]")
