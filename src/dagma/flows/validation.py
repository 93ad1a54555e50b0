"""What can be wrong with a flow's file, found without a server."""

import re
from collections.abc import Iterator
from typing import Any

from dagma.flows.document import FlowDocument, is_secret, nodes_of, template_fields
from dagma.langflow.flow import uuid_or_none
from dagma.langflow.untrusted_json import objects, walk

ENDPOINT_NAME = re.compile(r"[A-Za-z0-9_-]+")

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


def _identity_problems(flow: FlowDocument) -> Iterator[str]:
    if (identity := uuid_or_none(str(flow.get("id")))) is None or identity != flow["id"]:
        yield f"id must be a UUID in lower case, not {flow.get('id')!r}"
    if not flow.get("name"):
        yield "name is missing"
    if (endpoint := flow.get("endpoint_name")) and not ENDPOINT_NAME.fullmatch(str(endpoint)):
        yield f"endpoint_name {endpoint!r} may hold letters, digits, '-' and '_' only"


def _graph_problems(flow: FlowDocument) -> Iterator[str]:
    data = {kind: walk(flow, "data", kind) for kind in ("nodes", "edges")}
    if any(not isinstance(items, list) or items != objects(items) for items in data.values()):
        yield "data must hold the lists nodes and edges, of objects"
        return
    nodes = {str(node.get("id")) for node in data["nodes"]}
    for edge in data["edges"]:
        missing = [end for end in (str(edge.get("source")), str(edge.get("target"))) if end not in nodes]
        yield from (f"an edge leads to {end!r}, which is not a component of this flow" for end in missing)


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
