import copy
from pathlib import Path
from typing import Any

import pytest
from unit.flows.conftest import FLOW_ID, FlowStore

from dagma.flows import sync
from dagma.flows.document import fingerprint, normalize, template_fields
from dagma.flows.sync import Relation, Result
from dagma.langflow import Conflict, FlowNotFound, LangflowClient


def edit_on_server(store: FlowStore, name: str = "Edited") -> None:
    store.flows[FLOW_ID]["name"] = name


def test_a_new_flow_is_created_and_then_left_alone(
    client: LangflowClient, store: FlowStore, flow: dict[str, Any]
) -> None:
    document = normalize(flow)
    assert sync.push(client, document) is Result.CREATED
    assert sync.push(client, document) is Result.UNCHANGED
    assert store.writes == 1
    assert fingerprint(store.flows[FLOW_ID]) == fingerprint(document)


def test_a_changed_file_updates_the_server(client: LangflowClient, store: FlowStore, flow: dict[str, Any]) -> None:
    document = normalize(flow)
    sync.push(client, document)
    document["description"] = "Says hello."
    assert sync.push(client, document) is Result.UPDATED
    assert store.flows[FLOW_ID]["description"] == "Says hello."


def test_what_a_file_no_longer_says_is_reset(client: LangflowClient, store: FlowStore, flow: dict[str, Any]) -> None:
    sync.push(client, {**normalize(flow), "description": "Says hello.", "locked": True, "tags": ["mine"]})
    sync.push(client, normalize(flow))
    assert store.flows[FLOW_ID]["description"] == ""
    assert store.flows[FLOW_ID]["locked"] is False
    assert "mine" not in store.flows[FLOW_ID]["tags"]


def test_an_edit_on_the_server_is_kept(client: LangflowClient, store: FlowStore, flow: dict[str, Any]) -> None:
    document = normalize(flow)
    sync.push(client, document)
    edit_on_server(store)
    assert sync.push(client, document) is Result.KEPT
    assert store.flows[FLOW_ID]["name"] == "Edited"


def test_an_edit_on_both_sides_is_a_conflict_until_forced(
    client: LangflowClient, store: FlowStore, flow: dict[str, Any]
) -> None:
    document = normalize(flow)
    sync.push(client, document)
    edit_on_server(store)
    document["name"] = "Changed here"
    assert sync.push(client, document) is Result.CONFLICT
    assert store.flows[FLOW_ID]["name"] == "Edited"
    assert sync.push(client, document, force=True) is Result.UPDATED
    assert store.flows[FLOW_ID]["name"] == "Changed here"


def test_a_flow_that_was_not_pushed_from_files_is_not_replaced(
    client: LangflowClient, store: FlowStore, flow: dict[str, Any]
) -> None:
    store.flows[FLOW_ID] = copy.deepcopy(flow)
    assert sync.push(client, {**normalize(flow), "name": "Changed here"}) is Result.CONFLICT
    assert store.writes == 0


def test_a_file_of_an_older_checkout_does_not_undo_a_newer_push(client: LangflowClient, flow: dict[str, Any]) -> None:
    old, new = normalize(flow), {**normalize(flow), "name": "Newer"}
    sync.push(client, old)
    sync.push(client, new)
    assert sync.push(client, old) is Result.KEPT
    assert sync.push(client, old, force=True) is Result.UPDATED
    assert sync.push(client, new) is Result.KEPT


def test_an_edit_made_by_hand_after_a_pull_is_pushed(
    client: LangflowClient, store: FlowStore, flow: dict[str, Any], tmp_path: Path
) -> None:
    sync.push(client, normalize(flow))
    edit_on_server(store)
    (pulled,) = sync.pull(client, tmp_path, [])
    assert pulled.changed
    document = {**normalize(store.flows[FLOW_ID]), "description": "By hand."}
    assert sync.push(client, document) is Result.UPDATED


def test_a_pull_without_a_push_does_not_hand_the_edit_to_the_next_push(
    client: LangflowClient, store: FlowStore, flow: dict[str, Any], tmp_path: Path
) -> None:
    document = normalize(flow)
    sync.push(client, document)
    edit_on_server(store)
    list(sync.pull(client, tmp_path / "elsewhere", []))
    assert sync.push(client, document) is Result.KEPT


def test_the_same_edit_on_both_sides_is_no_conflict(
    client: LangflowClient, store: FlowStore, flow: dict[str, Any]
) -> None:
    document = normalize(flow)
    sync.push(client, document)
    edit_on_server(store)
    document["name"] = "Edited"
    assert sync.push(client, document) is Result.UNCHANGED
    document["name"] = "Changed later"
    assert sync.push(client, document) is Result.UPDATED


def test_a_secret_typed_on_the_server_and_the_viewport_outlive_a_push(
    client: LangflowClient, store: FlowStore, flow: dict[str, Any]
) -> None:
    sync.push(client, normalize(flow))
    stored = store.flows[FLOW_ID]["data"]
    template_fields(stored["nodes"][0])["api_key"]["value"] = "typed-later"
    stored["viewport"] = {"x": 7, "y": 7, "zoom": 2}
    assert sync.push(client, normalize(flow)) is Result.UNCHANGED
    assert sync.push(client, {**normalize(flow), "name": "Changed here"}) is Result.UPDATED
    stored = store.flows[FLOW_ID]["data"]
    assert template_fields(stored["nodes"][0])["api_key"]["value"] == "typed-later"
    assert stored["viewport"] == {"x": 7, "y": 7, "zoom": 2}


def test_a_taken_endpoint_name_names_the_flow_in_the_way(
    client: LangflowClient, store: FlowStore, flow: dict[str, Any]
) -> None:
    other = "33333333-3333-4333-8333-333333333333"
    store.put(other, {"name": "Other", "endpoint_name": "greeter"})
    with pytest.raises(Conflict, match=rf"{other}, has the endpoint_name 'greeter'.*Rename or delete"):
        sync.push(client, normalize(flow))
    assert FLOW_ID not in store.flows


def test_a_pull_takes_flows_by_any_of_their_names(client: LangflowClient, flow: dict[str, Any], tmp_path: Path) -> None:
    second = {**normalize(flow), "id": "33333333-3333-4333-8333-333333333333", "name": "Second", "endpoint_name": "two"}
    sync.push(client, normalize(flow))
    sync.push(client, second)
    for name in ("two", "Second", second["id"]):
        assert [pulled.name for pulled in sync.pull(client, tmp_path, [name])] == ["Second"]
    assert len(list(sync.pull(client, tmp_path, []))) == 2
    with pytest.raises(FlowNotFound, match="no flow three"):
        list(sync.pull(client, tmp_path, ["three"]))


def test_a_pull_leaves_a_typed_secret_out_and_the_server_as_it_is(
    client: LangflowClient, store: FlowStore, flow: dict[str, Any], tmp_path: Path
) -> None:
    store.flows[FLOW_ID] = copy.deepcopy(flow)
    (pulled,) = sync.pull(client, tmp_path, [])
    assert pulled.path is not None
    assert "typed-here" not in pulled.path.read_text()
    assert store.flows[FLOW_ID]["data"] == flow["data"]


def test_a_pull_refuses_what_looks_like_a_secret(
    client: LangflowClient, store: FlowStore, flow: dict[str, Any], tmp_path: Path
) -> None:
    flow["description"] = "use sk-" + "a1B2" * 8
    store.flows[FLOW_ID] = flow
    (pulled,) = sync.pull(client, tmp_path, [])
    assert pulled.path is None
    assert pulled.problems
    assert not list(tmp_path.iterdir())
    assert store.writes == 0


def test_saved_components_are_no_flows(
    client: LangflowClient, store: FlowStore, flow: dict[str, Any], tmp_path: Path
) -> None:
    store.flows[FLOW_ID] = {**flow, "is_component": True}
    assert list(sync.pull(client, tmp_path, [])) == []


def test_unset_variables_are_found(client: LangflowClient, flow: dict[str, Any]) -> None:
    assert sync.unset_variables(client, [flow]) == {"LLM_MODEL": ["Greeter"]}
    client.set_variable("LLM_MODEL", "m")
    assert sync.unset_variables(client, [flow]) == {}


def test_a_copy_on_one_side_only(flow: dict[str, Any]) -> None:
    assert sync.relation(flow, None) is Relation.ONLY_FILE
    assert sync.relation(None, flow) is Relation.ONLY_SERVER
