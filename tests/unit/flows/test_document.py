import copy
import json
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagma.flows.document import fingerprint, marked_tags, normalize, synced_fingerprint, template_fields, to_text


def fields_of(flow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return template_fields(flow["data"]["nodes"][0])


def test_what_the_server_and_the_canvas_add_is_left_out(flow: dict[str, Any]) -> None:
    document = normalize(flow)
    assert set(document) == {"data", "endpoint_name", "id", "name"}
    assert set(document["data"]) == {"edges", "nodes"}
    node, edge = document["data"]["nodes"][0], document["data"]["edges"][0]
    assert set(node) == {"data", "id", "position", "type"}
    assert node["position"] == {"x": 10, "y": 20}
    assert set(edge) == {"data", "id", "source", "target"}
    assert node["data"]["node"]["outputs"] == [{"name": "text"}]
    assert "lf_version" not in node["data"]["node"]
    assert "options" not in fields_of(document)["model"]
    assert not {"_frontend_node_folder_id", "is_refresh"} & set(node["data"]["node"]["template"])


def test_a_typed_secret_is_left_out_and_a_variable_s_name_stays(flow: dict[str, Any]) -> None:
    fields_of(flow)["model_name"]["password"] = True
    document = normalize(flow)
    assert fields_of(document)["api_key"]["value"] == ""
    assert fields_of(document)["model_name"]["value"] == "LLM_MODEL"
    assert "typed-here" not in to_text(flow)


def test_code_is_a_list_of_lines_that_joins_to_the_same(flow: dict[str, Any]) -> None:
    assert fields_of(normalize(flow))["code"]["value"] == ["one", "two", ""]


def test_normalizing_changes_neither_its_argument_nor_a_normalized_flow(flow: dict[str, Any]) -> None:
    before = copy.deepcopy(flow)
    document = normalize(flow)
    assert flow == before
    assert normalize(document) == document
    assert json.loads(to_text(flow)) == document


@pytest.mark.parametrize("value", [5, "text", [1], {"a": 1}, {"a": None}, float("inf"), "\ud83d"], ids=ascii)
@pytest.mark.parametrize("place", ["position", "position.x", *(f"data.node.{it}" for it in ("template", "outputs"))])
def test_what_nobody_expects_stays_as_it_is(flow: dict[str, Any], place: str, value: Any) -> None:
    node = flow["data"]["nodes"][1]
    node["data"]["node"]["flow"] = {"data": {"nodes": value}}
    *path, last = place.split(".")
    reduce(dict.__getitem__, path, node)[last] = value
    assert json.dumps(normalize(flow)).count(json.dumps(value)) >= 2
    assert len(fingerprint(flow)) == len(fingerprint({}))
    assert json.loads(to_text(flow).encode()) == normalize(flow)


def test_the_order_of_nodes_is_kept(flow: dict[str, Any]) -> None:
    flow["data"]["nodes"].reverse()
    assert [node["id"] for node in normalize(flow)["data"]["nodes"]] == ["Out-b", "Model-a"]


def test_a_note_keeps_its_size(flow: dict[str, Any]) -> None:
    flow["data"]["nodes"].append(
        {"id": "note", "type": "noteNode", "width": 300, "height": 200, "data": {"id": "note"}}
    )
    assert normalize(flow)["data"]["nodes"][-1]["width"] == 300


def test_the_inside_of_a_group_is_normalized_too(flow: dict[str, Any]) -> None:
    inner = {"id": "inner", "type": "genericNode", "selected": True, "position": {"x": 0.2, "y": 0}, "data": {}}
    flow["data"]["nodes"][1]["data"]["node"]["flow"] = {"data": {"nodes": [inner], "edges": []}}
    (kept,) = normalize(flow)["data"]["nodes"][1]["data"]["node"]["flow"]["data"]["nodes"]
    assert kept == {"id": "inner", "type": "genericNode", "position": {"x": 0, "y": 0}, "data": {}}


def test_the_fingerprint_ignores_noise_and_sees_every_edit(flow: dict[str, Any]) -> None:
    looked_at = copy.deepcopy(flow)
    looked_at["updated_at"] = "later"
    looked_at["data"]["viewport"] = None
    looked_at["data"]["nodes"][0]["selected"] = False
    assert fingerprint(looked_at) == fingerprint(flow) == fingerprint(normalize(flow))
    for edit in (
        lambda it: it.update(name="Other"),
        lambda it: fields_of(it)["temperature"].update(value=0.5),
        lambda it: it["data"]["nodes"][1]["position"].update(y=300),
        lambda it: it["data"]["edges"].clear(),
    ):
        edited = copy.deepcopy(flow)
        edit(edited)
        assert fingerprint(edited) != fingerprint(flow)


def test_the_mark_stands_beside_the_flow_s_own_tags(flow: dict[str, Any]) -> None:
    flow["tags"] = ["mine", "dagma-synced:older,old"]
    assert synced_fingerprint(flow) == "old"
    server = {**flow, "tags": marked_tags(flow)}
    assert server["tags"][0] == "mine"
    assert synced_fingerprint(server) == fingerprint(flow) == fingerprint(server)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_value_of_a_field_survives_a_second_pass(value: Any) -> None:
    node = {"id": "n", "data": {"node": {"outputs": [], "template": {"f": {"value": value}}}}}
    document = normalize({"id": "i", "name": "n", "data": {"nodes": [node], "edges": []}})
    assert normalize(document) == document
    kept = document["data"]["nodes"][0]["data"]["node"]["template"]["f"]["value"]
    assert kept == value
