import json
from pathlib import Path

import pytest

from dagma.dev.settings import ASSISTANT
from dagma.flows.document import template_fields, to_text
from dagma.flows.files import file_name
from dagma.flows.validation import bound_variables, clashes, problems

FOLDER = Path(__file__).parents[3] / "flows"
FILES = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_shipped_flow_is_sound_and_normalized(path: Path) -> None:
    flow = json.loads(path.read_text(encoding="utf-8"))
    assert problems(flow) == []
    assert path.read_text(encoding="utf-8") == to_text(flow)
    assert path.name == file_name(flow)


def test_the_shipped_flows_stand_beside_each_other() -> None:
    flows = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in FILES}
    assert {"assistant.json", "echo.json"} <= set(flows)
    assert clashes(flows) == []


def test_the_assistant_takes_its_model_from_a_variable_and_is_bounded() -> None:
    flow = json.loads((FOLDER / "assistant.json").read_text(encoding="utf-8"))
    fields = next(template_fields(node) for node in flow["data"]["nodes"] if node["id"] == "LanguageModel-assistant")
    assert flow["id"] == ASSISTANT
    assert bound_variables(flow) == {"LLM_MODEL"}
    assert fields["model"]["value"][0]["provider"] == "OpenAI Compatible"
    assert fields["system_message"]["value"] == "You are a helpful AI assistant."
    assert 0 < fields["max_tokens"]["value"] <= 1024
