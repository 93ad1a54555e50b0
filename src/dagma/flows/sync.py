"""Flows on their way to a Langflow server and back, without losing an edit made on either side."""

import copy
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from dagma.flows.document import (
    SERVER_DEFAULTS,
    FlowDocument,
    fingerprint,
    is_secret,
    marked_tags,
    nodes_of,
    normalize,
    synced_fingerprint,
    template_fields,
)
from dagma.flows.files import Written, write_flows
from dagma.flows.validation import problems
from dagma.langflow import Flow, FlowNotFound, LangflowClient
from dagma.langflow.untrusted_json import walk


class Result(Enum):
    """What a push did with one flow."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    KEPT = "kept"


def push(client: LangflowClient, flow: FlowDocument, *, force: bool = False) -> Result:
    """Bring a file's flow to the server, unless the server's copy was edited since it was last pushed or pulled.

    With `force` it replaces the server's copy whatever that is.

    Raises:
        Conflict: Another flow on the server has the name or the endpoint name.
        LangflowError: The flow can't be stored.
    """
    server = find(client, str(flow["id"]))
    is_same = server is not None and fingerprint(flow) == fingerprint(server)
    if server is not None and not is_same and not force and not _is_marked(server, server):
        return Result.KEPT
    if not is_same or not _is_marked(flow, server):
        client.upsert_flow(upload(flow, server))
    if is_same:
        return Result.UNCHANGED
    return Result.CREATED if server is None else Result.UPDATED


def pull(client: LangflowClient, folder: Path, names: list[str]) -> Iterator[tuple[str, Written]]:
    """Bring flows from the server into files.

    A flow with something that looks like a secret, or whose name a file of another flow has, is not written; the others
    are. `names` are ids, endpoint names or names of flows; empty for all.

    Yields:
        The name of each flow, and what was done with it.

    Raises:
        FlowNotFound: The server has no flow of one of the names.
        LangflowError: The server does not give them.
    """
    headers = [header for header in client.list_flows() if not header.raw.get("is_component")]
    known = {name for header in headers for name in names_of(header)}
    if unknown := [name for name in names if name not in known]:
        raise FlowNotFound(f"Langflow has no flow {', '.join(unknown)}.", fix="See those it has in Langflow.")
    wanted = [client.find_flow(header.id) for header in headers if not names or names_of(header) & set(names)]
    servers = {flow.id: dict(flow.raw) for flow in wanted}
    flows = {flow_id: normalize(server) for flow_id, server in servers.items()}
    found = {flow_id: problems(flow) for flow_id, flow in flows.items()}
    written = write_flows([flow for flow_id, flow in flows.items() if not found[flow_id]], folder)
    for flow_id, server in servers.items():
        name, done = str(server["name"]), written.get(flow_id) or Written(None, problem="; ".join(found[flow_id]))
        if done.path and not _is_marked(flows[flow_id], server):
            client.upsert_flow({"id": flow_id, "name": name, "tags": marked_tags(flows[flow_id])})
        yield name, done


def find(client: LangflowClient, flow_id: str) -> FlowDocument | None:
    """Fetch a flow as Langflow's API returns it; None where there is none."""
    try:
        return dict(client.find_flow(flow_id).raw)
    except FlowNotFound:
        return None


def names_of(flow: Flow) -> set[str]:
    """List what a flow is called: its id, its endpoint name and its name."""
    return {flow.id, flow.name, flow.endpoint_name or flow.id}


def upload(flow: FlowDocument, server: FlowDocument | None) -> FlowDocument:
    """Prepare a file's flow for the server: with every optional field, so that what it leaves out is reset, and marked.

    Of the server's copy that it replaces, if any, the viewport and the secrets typed into it stay.
    """
    document = {**SERVER_DEFAULTS, **normalize(flow), "tags": marked_tags(flow)}
    if viewport := walk(server, "data", "viewport"):
        document["data"]["viewport"] = viewport
    typed = {node.get("id"): template_fields(node) for node in nodes_of(server or {})}
    for node in nodes_of(document):
        for name, field in template_fields(node).items():
            kept = typed.get(node.get("id"), {}).get(name, {})
            if is_secret(kept) and field.get("password") and not field.get("value"):
                field["value"] = copy.copy(kept["value"])
    return document


def _is_marked(flow: FlowDocument, server: FlowDocument | None) -> bool:
    return server is not None and synced_fingerprint(server) == fingerprint(flow)
