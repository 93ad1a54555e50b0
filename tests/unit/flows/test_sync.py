from pathlib import Path
from typing import Any

import pytest
from unit.flows.conftest import FLOW_ID, writes

from dagma.flows import sync
from dagma.flows.document import fingerprint, normalize, template_fields
from dagma.flows.sync import Result
from dagma.langflow import Conflict, FlowNotFound, LangflowClient
from dagma.testing import FakeLangflow


def on_server(client: LangflowClient) -> dict[str, Any]:
    return dict(client.find_flow(FLOW_ID).raw)


def edit_on_server(client: LangflowClient) -> None:
    client.upsert_flow({"id": FLOW_ID, "name": "Edited"})


def test_a_new_flow_is_created_and_then_left_alone(
    client: LangflowClient, fake_langflow: FakeLangflow, flow: dict[str, Any]
) -> None:
    document = normalize(flow)
    assert sync.push(client, document) is Result.CREATED
    assert sync.push(client, document) is Result.UNCHANGED
    assert len(writes(fake_langflow)) == 1
    assert fingerprint(on_server(client)) == fingerprint(document)


def test_a_changed_file_updates_the_server(client: LangflowClient, flow: dict[str, Any]) -> None:
    document = normalize(flow)
    sync.push(client, document)
    document["description"] = "Says hello."
    assert sync.push(client, document) is Result.UPDATED
    assert on_server(client)["description"] == "Says hello."


def test_what_a_file_no_longer_says_is_reset(client: LangflowClient, flow: dict[str, Any]) -> None:
    sync.push(client, {**normalize(flow), "description": "Says hello.", "locked": True, "tags": ["mine"]})
    sync.push(client, normalize(flow))
    stored = on_server(client)
    assert (stored["description"], stored["locked"]) == ("", False)
    assert "mine" not in stored["tags"]


def test_an_edit_on_the_server_is_kept(client: LangflowClient, flow: dict[str, Any]) -> None:
    document = normalize(flow)
    sync.push(client, document)
    edit_on_server(client)
    assert sync.push(client, document) is Result.KEPT
    assert on_server(client)["name"] == "Edited"


def test_an_edit_on_both_sides_is_kept_until_forced(client: LangflowClient, flow: dict[str, Any]) -> None:
    document = normalize(flow)
    sync.push(client, document)
    edit_on_server(client)
    document["name"] = "Changed here"
    assert sync.push(client, document) is Result.KEPT
    assert on_server(client)["name"] == "Edited"
    assert sync.push(client, document, force=True) is Result.UPDATED
    assert on_server(client)["name"] == "Changed here"


def test_a_flow_that_was_not_pushed_from_files_is_not_replaced(
    client: LangflowClient, fake_langflow: FakeLangflow, flow: dict[str, Any]
) -> None:
    fake_langflow.add_flow("Greeter", flow=flow)
    assert sync.push(client, {**normalize(flow), "name": "Changed here"}) is Result.KEPT
    assert writes(fake_langflow) == []


def test_an_older_file_goes_back_to_it(client: LangflowClient, flow: dict[str, Any]) -> None:
    old, new = normalize(flow), {**normalize(flow), "name": "Newer"}
    for each in (old, new, old):
        sync.push(client, each)
    assert on_server(client)["name"] == "Greeter"


def test_an_edit_made_by_hand_after_a_pull_is_pushed(
    client: LangflowClient, flow: dict[str, Any], tmp_path: Path
) -> None:
    sync.push(client, normalize(flow))
    edit_on_server(client)
    ((_, pulled),) = sync.pull(client, tmp_path, [])
    assert pulled.changed
    document = {**normalize(on_server(client)), "description": "By hand."}
    assert sync.push(client, document) is Result.UPDATED


def test_the_same_edit_on_both_sides_is_no_conflict(client: LangflowClient, flow: dict[str, Any]) -> None:
    document = normalize(flow)
    sync.push(client, document)
    edit_on_server(client)
    document["name"] = "Edited"
    assert sync.push(client, document) is Result.UNCHANGED
    document["name"] = "Changed later"
    assert sync.push(client, document) is Result.UPDATED


def test_a_secret_typed_on_the_server_and_the_viewport_outlive_a_push(
    client: LangflowClient, flow: dict[str, Any]
) -> None:
    sync.push(client, normalize(flow))
    stored = on_server(client)
    template_fields(stored["data"]["nodes"][0])["api_key"]["value"] = "typed-later"
    stored["data"]["viewport"] = {"x": 7, "y": 7, "zoom": 2}
    client.upsert_flow(stored)
    assert sync.push(client, normalize(flow)) is Result.UNCHANGED
    assert sync.push(client, {**normalize(flow), "name": "Changed here"}) is Result.UPDATED
    stored = on_server(client)["data"]
    assert template_fields(stored["nodes"][0])["api_key"]["value"] == "typed-later"
    assert stored["viewport"] == {"x": 7, "y": 7, "zoom": 2}


def test_a_taken_endpoint_name_is_told(
    client: LangflowClient, fake_langflow: FakeLangflow, flow: dict[str, Any]
) -> None:
    other = "33333333-3333-4333-8333-333333333333"
    fake_langflow.add_flow("Other", flow_id=other, endpoint_name="greeter")
    with pytest.raises(Conflict, match="Choose another name"):
        sync.push(client, normalize(flow))
    assert sync.find(client, FLOW_ID) is None


def test_a_pull_takes_flows_by_any_of_their_names(client: LangflowClient, flow: dict[str, Any], tmp_path: Path) -> None:
    second = {**normalize(flow), "id": "33333333-3333-4333-8333-333333333333", "name": "Second", "endpoint_name": "two"}
    sync.push(client, normalize(flow))
    sync.push(client, second)
    for name in ("two", "Second", second["id"]):
        assert [pulled for pulled, _ in sync.pull(client, tmp_path, [name])] == ["Second"]
    assert len(list(sync.pull(client, tmp_path, []))) == 2
    with pytest.raises(FlowNotFound, match="no flow three"):
        list(sync.pull(client, tmp_path, ["three"]))


def test_a_pull_leaves_a_typed_secret_out_and_the_server_as_it_is(
    client: LangflowClient, fake_langflow: FakeLangflow, flow: dict[str, Any], tmp_path: Path
) -> None:
    fake_langflow.add_flow("Greeter", flow=flow)
    ((_, pulled),) = sync.pull(client, tmp_path, [])
    assert pulled.path is not None
    assert "typed-here" not in pulled.path.read_text()
    assert on_server(client)["data"] == flow["data"]


def test_a_pull_refuses_what_looks_like_a_secret(
    client: LangflowClient, fake_langflow: FakeLangflow, flow: dict[str, Any], tmp_path: Path
) -> None:
    flow["description"] = "use sk-" + "a1B2" * 8
    fake_langflow.add_flow("Greeter", flow=flow)
    ((_, pulled),) = sync.pull(client, tmp_path, [])
    assert pulled.path is None
    assert "looks like a secret" in pulled.problem
    assert not list(tmp_path.iterdir())
    assert writes(fake_langflow) == []


def test_saved_components_are_no_flows(
    client: LangflowClient, fake_langflow: FakeLangflow, flow: dict[str, Any], tmp_path: Path
) -> None:
    fake_langflow.add_flow("Greeter", flow={**flow, "is_component": True})
    assert list(sync.pull(client, tmp_path, [])) == []
