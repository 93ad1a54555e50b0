import copy
import json
from pathlib import Path
from typing import Any

import pytest

from dagma.langflow import BadRequest, Flow, MalformedResponse, content_version

FLOWS = Path(__file__).parents[2] / "contract" / "flows"


@pytest.fixture
def behave() -> dict[str, Any]:
    return json.loads((FLOWS / "behave.json").read_text())


def test_the_version_ignores_names_and_the_canvas(behave: dict[str, Any]):
    moved = copy.deepcopy(behave)
    moved["name"] = "Renamed"
    moved["data"]["viewport"] = {"x": 1}
    moved["data"]["nodes"].reverse()
    moved["data"]["nodes"][0] |= {"position": {"x": 9, "y": 9}, "selected": True}
    assert content_version(moved) == content_version(behave)


def test_the_version_changes_with_a_field(behave: dict[str, Any]):
    changed = copy.deepcopy(behave)
    changed["data"]["nodes"][0]["data"]["node"]["template"]["code"]["value"] += "\n"
    assert content_version(changed) != content_version(behave)


def test_the_version_changes_with_the_wiring(behave: dict[str, Any]):
    changed = copy.deepcopy(behave)
    changed["data"]["edges"].pop()
    assert content_version(changed) != content_version(behave)


@pytest.mark.parametrize("flow", [{}, {"data": None}, {"data": {"nodes": 3}}, {"data": {"nodes": [None, 1]}}])
def test_a_flow_without_a_graph_has_a_version_and_no_components(flow: dict[str, Any]):
    assert len(content_version(flow)) == 16
    assert Flow.of({"id": "1", "name": "n", **flow}).components == {}


def test_tweaks_of_a_field_that_exists_pass(behave: dict[str, Any]):
    flow = Flow.of(behave)
    assert "seconds" in flow.components["Behave-1"]
    flow.check_tweaks({"Behave-1": {"seconds": 1}})


@pytest.mark.parametrize(
    ("tweaks", "found"),
    [
        ({"Nope": {"x": 1}}, "no component with the id 'Nope'"),
        ({"Behave": {"seconds": 1}}, "no component with the id 'Behave'"),
        ({"Behave-1": {"secs": 1}}, "no field 'secs'"),
    ],
)
def test_tweaks_that_langflow_would_ignore_are_refused(behave: dict[str, Any], tweaks: dict[str, Any], found: str):
    with pytest.raises(BadRequest, match=found) as caught:
        Flow.of(behave).check_tweaks(tweaks)
    assert caught.value.outcome == "not_run"


@pytest.mark.parametrize("body", [{}, {"id": "1"}, {"name": "n"}, {"id": 1, "name": "n"}])
def test_a_flow_without_identity_is_malformed(body: dict[str, Any]):
    with pytest.raises(MalformedResponse):
        Flow.of(body)
