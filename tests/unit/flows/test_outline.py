"""What is known of a flow without its content, and how it is drawn."""

import re
from typing import Any
from urllib.parse import unquote

import pytest

from dagma.flows.graph_picture import MOST_COMPONENTS, picture_of, svg_of
from dagma.flows.known_flows import OUTLINES, fingerprint_of
from dagma.flows.outline import FlowOutline
from dagma.langflow import Flow

FLOW_ID = "11111111-1111-4111-8111-111111111111"


def node(name: str, kind: str = "Prompt", fields: dict[str, Any] | None = None, **component: Any) -> dict[str, Any]:
    template = {field: {"value": value} for field, value in (fields or {}).items()}
    return {"id": name, "data": {"type": kind, "node": {"display_name": name, "template": template, **component}}}


def outline(*nodes: dict[str, Any], edges: list[tuple[str, str]] | None = None, **fields: Any) -> FlowOutline:
    data = {"nodes": list(nodes), "edges": [{"source": start, "target": end} for start, end in edges or []]}
    return FlowOutline.of(Flow.of({"id": FLOW_ID, "name": "A flow", "data": data, **fields}))


def places(flow: FlowOutline) -> dict[str, tuple[int, int]]:
    """Where each component is drawn."""
    found = re.findall(r'<rect x="(\d+)" y="(\d+)".*?<text[^>]*>([^<]*)</text>', svg_of(flow))
    return {title: (int(x), int(y)) for x, y, title in found}


def test_an_outline_tells_of_components_and_not_of_notes() -> None:
    flow = outline(node("A"), node("B") | {"type": "noteNode"}, edges=[("A", "B")], tags=["one", "dagma-synced:0"])
    assert flow.components == {"A": "A"}
    assert flow.tags == ("one",)
    assert flow.version is not None


@pytest.mark.parametrize("data", [[1], "text", {"type": "Prompt", "node": {"template": [1]}}, {"node": {"flow": "x"}}])
def test_a_component_of_another_shape_does_no_harm(data: Any) -> None:
    assert outline({"id": "A", "data": data}).components.keys() == {"A"}


def test_a_header_has_no_version() -> None:
    flow = FlowOutline.of(Flow.of({"id": FLOW_ID, "name": "A flow", "data": None}), "Care")
    assert (flow.version, flow.components, flow.project) == (None, {}, "Care")


@pytest.mark.parametrize(
    ("caller", "called"),
    [
        (node("R", "RunFlow", {"flow_name_selected": "Label", "flow_id_selected": "id-1"}), ("id-1",)),
        (node("R", "RunFlow", {"flow_name_selected": "Label", "flow_id_selected": ""}), ("Label",)),
        (node("O", "Other", {"flow_name": "Label"}), ()),
        (node("R", "RunFlow", {"flow_name_selected": None}), ()),
        (node("G", flow={"data": {"nodes": [node("R", "RunFlow", {"flow_id_selected": "id-1"})]}}), ("id-1",)),
    ],
)
def test_the_flows_that_it_calls_are_told(caller: dict[str, Any], called: tuple[str, ...]) -> None:
    assert outline(caller, caller).calls == called


def test_what_is_kept_of_it_is_the_same_again() -> None:
    flow = outline(node("A"), node("R", "RunFlow", {"flow_id_selected": "x"}), edges=[("A", "R")], tags=["t"])
    assert OUTLINES.validate_json(OUTLINES.dump_json([flow])) == [flow]


def test_a_flow_that_was_only_saved_again_has_the_same_fingerprint() -> None:
    first = outline(node("A") | {"position": {"x": 1}}, updated_at="2026-01-01")
    moved = outline(node("A") | {"position": {"x": 2}}, updated_at="2026-01-02")
    edited = outline(node("A", fields={"template": "Hi"}), updated_at="2026-01-01")
    assert fingerprint_of([first]) == fingerprint_of([moved])
    assert fingerprint_of([first]) != fingerprint_of([edited])
    assert fingerprint_of([first]) != fingerprint_of([])


def test_each_component_stands_right_of_those_that_feed_it() -> None:
    drawn = places(outline(*map(node, "DCBA"), edges=[("A", "B"), ("B", "D"), ("A", "C"), ("C", "D"), ("A", "D")]))
    assert drawn["A"][0] < drawn["B"][0] == drawn["C"][0] < drawn["D"][0]
    assert drawn["B"][1] != drawn["C"][1]


def test_a_loop_is_drawn_too() -> None:
    drawn = places(outline(*map(node, "ABC"), edges=[("A", "B"), ("B", "C"), ("C", "B"), ("C", "C"), ("C", "gone")]))
    assert len(set(drawn.values())) == 3


def test_a_name_cannot_change_the_picture_or_the_page() -> None:
    flow = outline(node("<b>&\0\x1b"), name="](http://evil.example)\r\r\u2028[")
    picture = picture_of(flow)
    assert picture is not None
    assert re.fullmatch(r"!\[[^\[\]\r\u2028]*\]\(data:image/svg\+xml,[^()\s]+\)", picture)
    assert "&lt;b&gt;&amp;  <" in unquote(picture)


def test_what_would_be_too_small_to_read_is_not_drawn() -> None:
    assert picture_of(outline()) is None
    assert picture_of(outline(*[node(str(number)) for number in range(MOST_COMPONENTS + 1)])) is None
