"""What is known of a flow without its content: who it is, which version, what it calls, and how its graph looks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from dagma.flows.document import FlowDocument, component_of, nodes_of, own_tags, template_fields
from dagma.langflow import Flow
from dagma.langflow.untrusted_json import objects, text_or_none, walk


@dataclass(frozen=True, kw_only=True)
class FlowOutline:
    """A flow.

    Attributes:
        id: Its UUID.
        name: Its display name.
        endpoint_name: The name that calls may use in place of the id.
        project: The name of its project in Langflow; None for a flow in a file.
        description: What its author says of it.
        tags: Its tags.
        version: The version of its content; None while that has not been read.
        updated_at: When it was last saved on the server.
        components: The names of its components in the canvas, by component id.
        edges: Which component feeds which, by component ids.
        calls: The flows that it calls by a Run Flow component, each by its id or its name.
    """

    id: str
    name: str
    endpoint_name: str | None = None
    project: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    version: str | None = None
    updated_at: str | None = None
    components: Mapping[str, str] = field(default_factory=dict)
    edges: tuple[tuple[str, str], ...] = ()
    calls: tuple[str, ...] = ()

    @classmethod
    def of(cls, flow: Flow, project: str | None = None) -> Self:
        """Read a flow of a project, with or without its graph."""
        document = dict(flow.raw)
        has_graph = isinstance(document.get("data"), Mapping)
        nodes = [node for node in nodes_of(document) if node.get("type") != "noteNode"] if has_graph else []
        return cls(
            id=flow.id,
            name=_text(flow.name),
            endpoint_name=flow.endpoint_name,
            project=project,
            description=_text(document.get("description") or ""),
            tags=tuple(map(_text, own_tags(document))),
            version=flow.version if has_graph else None,
            updated_at=text_or_none(document.get("updated_at")),
            components={_text(node.get("id")): _title(node) for node in nodes},
            edges=tuple(_edges(document)) if has_graph else (),
            calls=tuple(dict.fromkeys(_calls(nodes))),
        )


def _title(node: FlowDocument) -> str:
    return _text(component_of(node).get("display_name") or walk(node, "data", "type") or node.get("id"))


def _text(value: Any) -> str:
    """Write a value as Unicode text: half a surrogate pair, which is none, could be neither kept nor shown."""
    return str(value).encode(errors="replace").decode()


def _edges(document: FlowDocument) -> Iterator[tuple[str, str]]:
    for edge in objects(walk(document, "data", "edges")):
        yield _text(edge.get("source")), _text(edge.get("target"))


def _calls(nodes: list[FlowDocument]) -> Iterator[str]:
    """Yield the flows that nodes call, also those in groups of components."""
    for node in nodes:
        fields = template_fields(node)
        names = ("flow_id_selected", "flow_name_selected")
        chosen = [_text(called) for name in names if (called := text_or_none(walk(fields, name, "value")))]
        yield from chosen[:1]
        yield from _calls(nodes_of(component_of(node).get("flow") or {}))
