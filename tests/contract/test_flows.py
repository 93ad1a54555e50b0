"""Facts about flows and variables, and what the client makes of them."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from contract.conftest import Flows, flow_named
from harness.stack import wait_until

from dagma.langflow import Conflict, Flow, FlowNotFound, LangflowClient, content_version


def test_an_upload_creates_then_replaces_under_the_same_id(client: LangflowClient):
    flow = flow_named("echo", str(uuid4()))
    try:
        stored, created = client.upsert_flow(flow)
        assert (stored.id, stored.endpoint_name, created) == (flow["id"], flow["endpoint_name"], True)
        again, created = client.upsert_flow({**flow, "description": "Changed."})
        assert (again.id, created) == (flow["id"], False)
        assert client.find_flow(flow["id"]).raw["description"] == "Changed."
    finally:
        client.delete_flow(flow["id"])
    with pytest.raises(FlowNotFound):
        client.find_flow(flow["id"])
    with pytest.raises(FlowNotFound):
        client.delete_flow(flow["id"])


def test_an_upload_keeps_what_it_leaves_out(client: LangflowClient):
    flow = flow_named("echo", str(uuid4())) | {"description": "Said once."}
    named = {"id": flow["id"], "name": flow["name"]}
    try:
        stored, _ = client.upsert_flow(flow)
        client.upsert_flow({**named, "tags": ["mine"], "description": None, "data": None})
        kept = client.find_flow(flow["id"])
        assert (kept.version, kept.endpoint_name) == (stored.version, flow["endpoint_name"])
        assert (kept.raw["description"], kept.raw["tags"]) == ("Said once.", ["mine"])
        cleared, _ = client.upsert_flow({**named, "endpoint_name": None})
        assert (cleared.version, cleared.endpoint_name) == (kept.version, None)
    finally:
        client.delete_flow(flow["id"])


def test_the_version_of_a_flow_survives_an_upload(client: LangflowClient, flows: Flows):
    local = flow_named("behave", flows.behave)
    assert client.find_flow(flows.behave).version == content_version(local)
    before = client.find_flow(flows.behave).version
    client.upsert_flow({**local, "description": "Saved again."})
    assert client.find_flow(flows.behave).version == before


def test_an_endpoint_name_that_is_taken_is_a_conflict(client: LangflowClient, flows: Flows):
    taken = client.find_flow(flows.echo).endpoint_name
    with pytest.raises(Conflict, match="Endpoint name must be unique"):
        client.upsert_flow(flow_named("echo", str(uuid4())) | {"endpoint_name": taken})


def test_flows_are_listed_without_their_graphs(client: LangflowClient, flows: Flows):
    headers = {flow.id: flow for flow in client.list_flows()}
    assert set(vars(flows).values()) <= set(headers)
    assert headers[flows.echo].components == {}
    assert set(client.find_flow(flows.echo).components) == {"ChatInput-echo", "ChatOutput-echo"}


def test_a_header_tells_the_project_and_the_last_change_of_a_flow(client: LangflowClient, flows: Flows):
    def header() -> Flow:
        return next(flow for flow in client.list_flows() if flow.id == flows.behave)

    before = header()
    saved_before = datetime.fromisoformat(before.raw["updated_at"])
    assert client.list_projects()[before.raw["folder_id"]]
    assert before.raw["updated_at"] == client.find_flow(flows.behave).raw["updated_at"]
    # It tells whole seconds.
    wait_until("the next second", lambda: datetime.now(UTC) - saved_before > timedelta(seconds=1), seconds=5)
    client.upsert_flow(flow_named("behave", flows.behave) | {"description": "Saved once more."})
    assert datetime.fromisoformat(header().raw["updated_at"]) > saved_before


def test_variables_are_created_changed_and_deleted(client: LangflowClient):
    name = f"DAGMA_CONTRACT_{uuid4().hex[:8]}"
    variable = client.set_variable(name, "one")
    try:
        assert (variable.kind, variable.value) == ("Generic", "one")
        assert client.set_variable(name, "two").id == variable.id
        assert {each.name: each.value for each in client.list_variables()}[name] == "two"
    finally:
        client.delete_variable(variable)
    assert name not in [each.name for each in client.list_variables()]


def test_a_credential_is_not_given_back(client: LangflowClient):
    variable = client.set_variable(f"DAGMA_CONTRACT_{uuid4().hex[:8]}", "hidden value", kind="Credential")
    try:
        (found,) = (each for each in client.list_variables() if each.id == variable.id)
        assert (found.kind, found.value) == ("Credential", None)
    finally:
        client.delete_variable(variable)
