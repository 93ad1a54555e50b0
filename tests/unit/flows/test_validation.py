from typing import Any

import pytest

from dagma.flows.document import normalize, template_fields
from dagma.flows.validation import clashes, problems


@pytest.fixture
def sound(flow: dict[str, Any]) -> dict[str, Any]:
    document = normalize(flow)
    assert problems(document) == []
    return document


def only_problem(flow: dict[str, Any]) -> str:
    (problem,) = problems(flow)
    return problem


@pytest.mark.parametrize("flow_id", ["greeter", None, 5, "ABCDEFAB-1111-4111-8111-111111111111"])
def test_an_id_that_langflow_would_not_write(sound: dict[str, Any], flow_id: Any) -> None:
    sound["id"] = flow_id
    assert "must be a UUID" in only_problem(sound)


def test_an_endpoint_name_that_is_no_address(sound: dict[str, Any]) -> None:
    for name in ("../greeter", ["greeter"]):
        sound["endpoint_name"] = name
        assert "endpoint_name" in only_problem(sound)


def test_a_flow_without_a_graph(sound: dict[str, Any]) -> None:
    sound["data"] = None
    assert "lists nodes and edges" in only_problem(sound)
    for odd in ([1], {"nodes": ["Model-a"], "edges": []}, {"nodes": [{"id": "Model-a"}], "edges": [1]}):
        sound["data"] = odd
        assert "lists nodes and edges" in only_problem(sound)


def test_an_edge_that_leads_nowhere(sound: dict[str, Any]) -> None:
    sound["data"]["edges"][0]["target"] = "Gone-c"
    assert "'Gone-c'" in only_problem(sound)


def test_a_secret_in_a_password_field(sound: dict[str, Any]) -> None:
    template_fields(sound["data"]["nodes"][0])["api_key"]["value"] = "hunter2"
    problem = only_problem(sound)
    assert "Model-a.api_key" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    "text",
    [
        "sk-" + "a1B2" * 8,
        "ghp_" + "a1B2" * 9,
        "AKIA" + "ABCD1234" * 2,
        "Authorization: Bearer " + "x9" * 15,
        "postgresql://me:hunter2@db/x",
        "-----BEGIN RSA PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.sig",
    ],
)
@pytest.mark.parametrize("place", ["description", "code"])
def test_what_looks_like_a_secret_anywhere(sound: dict[str, Any], text: str, place: str) -> None:
    if place == "description":
        sound["description"] = f"use {text}"
    else:
        template_fields(sound["data"]["nodes"][0])["code"]["value"] = ["import os", f"key = '{text}'"]
    problem = only_problem(sound)
    assert place in problem
    assert text not in problem


@pytest.mark.parametrize(
    "text", ["https://{user}:{password}@host", "task-force-of-the-seven-seas", "http://llm:8080/v1"]
)
def test_what_only_resembles_a_secret_passes(sound: dict[str, Any], text: str) -> None:
    sound["description"] = text
    assert problems(sound) == []


def test_two_flows_can_t_share_an_id_or_a_name(sound: dict[str, Any]) -> None:
    other = {**sound, "id": "33333333-3333-4333-8333-333333333333", "name": "Other"}
    assert clashes({"a.json": sound}) == []
    assert clashes({"a.json": sound, "b.json": other}) == ["endpoint_name 'greeter' is taken twice: a.json, b.json"]


def test_flows_without_an_endpoint_name_don_t_clash(sound: dict[str, Any]) -> None:
    del sound["endpoint_name"]
    other = {**sound, "id": "33333333-3333-4333-8333-333333333333", "name": "Other"}
    assert clashes({"a.json": sound, "b.json": other}) == []
