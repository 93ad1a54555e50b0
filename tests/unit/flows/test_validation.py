from collections.abc import Callable
from typing import Any

import pytest

from dagma.flows.document import normalize, template_fields
from dagma.flows.validation import bound_variables, clashes, problems


@pytest.fixture
def sound(flow: dict[str, Any]) -> dict[str, Any]:
    document = normalize(flow)
    assert problems(document) == []
    return document


def only_problem(flow: dict[str, Any]) -> str:
    (problem,) = problems(flow)
    return problem


@pytest.mark.parametrize(
    ("flow_id", "said"),
    [("greeter", "must be a UUID"), (None, "must be a UUID"), ("b3e47345-c500-5ed6-aa18-f7b45eb2ef16", "version 5")],
)
def test_an_id_that_langflow_refuses(sound: dict[str, Any], flow_id: str | None, said: str) -> None:
    sound["id"] = flow_id
    assert said in only_problem(sound)


@pytest.mark.parametrize("write", [str.upper, lambda text: text.replace("-", ""), lambda text: f"{{{text}}}"])
def test_an_id_that_langflow_would_write_otherwise(sound: dict[str, Any], write: Callable[[str], str]) -> None:
    flow_id = "abcdefab-1111-4111-8111-111111111111"
    sound["id"] = write(flow_id)
    assert only_problem(sound) == f"id must be written as Langflow does: {flow_id}"


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
    sound["data"] = {"nodes": [], "edges": []}
    assert "no component" in only_problem(sound)


def test_an_edge_that_leads_nowhere(sound: dict[str, Any]) -> None:
    sound["data"]["edges"][0]["target"] = "Gone-c"
    assert "'Gone-c'" in only_problem(sound)


def test_an_edge_to_a_field_or_from_an_output_that_is_not_there(sound: dict[str, Any]) -> None:
    handles = sound["data"]["edges"][0]["data"]
    handles["targetHandle"]["fieldName"] = "gone"
    assert "field 'gone', which Out-b" in only_problem(sound)
    handles["targetHandle"]["fieldName"] = "input_value"
    handles["sourceHandle"]["name"] = "gone"
    assert "output 'gone', which Model-a" in only_problem(sound)


@pytest.mark.parametrize("part", ["template", "outputs"])
def test_a_component_whose_parts_are_of_wrong_types(sound: dict[str, Any], part: str) -> None:
    sound["data"]["nodes"][0]["data"]["node"][part] = [5]
    assert only_problem(sound) == "Model-a: template must be an object, and outputs a list of objects"


def test_an_id_that_is_taken_twice_inside_a_flow(sound: dict[str, Any]) -> None:
    sound["data"]["nodes"].append(sound["data"]["nodes"][1])
    assert "nodes: id 'Out-b' is taken 2 times" in only_problem(sound)


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


def test_the_variables_a_flow_reads(flow: dict[str, Any]) -> None:
    assert bound_variables(flow) == {"LLM_MODEL"}
