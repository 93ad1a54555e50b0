"""What the image adds to Langflow's packages: usage in streams."""

import copy
import json
from typing import Any

import pytest
from harness.langflow_users import Caller, flow_file
from harness.stack import Stack
from stack.conftest import Dagster, rows

MANIFESTS = """
import importlib.metadata, importlib.util, json, pathlib
names = ("lfx_openai_compatible", "dagma_openai_compatible")
folders = [pathlib.Path(importlib.util.find_spec(name).submodule_search_locations[0]) for name in names]
print(json.dumps([json.loads((folder / "extension.json").read_text()) for folder in folders]))
"""


@pytest.fixture(scope="module")
def superuser(stack: Stack) -> Caller:
    return Caller(stack.langflow_url, stack.settings["LANGFLOW_API_KEY"])


def edge(source: dict[str, str], target: dict[str, Any]) -> dict[str, Any]:
    types = source.pop("type")
    ends = {"sourceHandle": {**source, "output_types": [types]}, "targetHandle": {**target, "type": "str"}}
    return {"source": source["id"], "target": target["id"], "data": ends}


def agent_flow(superuser: Caller, model: str) -> dict[str, Any]:
    """Chat input → Agent → chat output, as the template "Simple Agent" has them, without tools."""
    flow = flow_file("echo")
    agent = copy.deepcopy(superuser.request("GET", "/api/v1/all").json()["models_and_agents"]["Agent"])
    agent["template"]["model"]["value"] = [
        {"provider": "OpenAI Compatible", "name": model, "icon": "Plug", "metadata": {}}
    ]
    agent["template"]["max_tokens"]["value"] = 16
    data = {"id": "Agent-1", "type": "Agent", "node": agent}
    flow["data"]["nodes"].append({"id": "Agent-1", "type": "genericNode", "position": {"x": 0, "y": 0}, "data": data})
    flow["data"]["edges"] = [
        edge(
            {"dataType": "ChatInput", "id": "ChatInput-echo", "name": "message", "type": "Message"},
            {"fieldName": "input_value", "id": "Agent-1", "inputTypes": ["Message"]},
        ),
        edge(
            {"dataType": "Agent", "id": "Agent-1", "name": "response", "type": "Message"},
            {
                "fieldName": "input_value",
                "id": "ChatOutput-echo",
                "inputTypes": ["Data", "JSON", "DataFrame", "Table", "Message"],
            },
        ),
    ]
    return flow


@pytest.mark.parametrize("mode", ["direct", "job"])
def test_an_agent_on_a_server_with_openais_api_reports_its_tokens(
    mode: str, superuser: Caller, stack: Stack, dagster: Dagster
) -> None:
    flow_id = superuser.draw(agent_flow(superuser, stack.settings["LLM_MODEL"]))
    try:
        run_id = dagster.launch(flow_id=flow_id, mode=mode, input_value="What is the capital of France?")
        assert dagster.finish(run_id).status == "SUCCESS"
        (call,) = rows(stack, run_id)
        assert call["input_tokens"] > 100, "an Agent's own instructions count too"
        assert call["output_tokens"] > 0
    finally:
        superuser.request("DELETE", f"/api/v1/flows/{flow_id}")


def test_the_provider_is_the_packages_own_but_for_the_chat_models_class(stack: Stack) -> None:
    printed = stack.exec("langflow", "python3", "-c", MANIFESTS)
    (line,) = [line for line in printed.splitlines() if line.startswith("[")]
    theirs, ours = json.loads(line)
    assert ours["providers"][0].pop("model_class")["attr"] == "ChatOpenAICompatible"
    assert ours["providers"][0]["metadata"]["mapping"].pop("model_class") == "ChatOpenAICompatible"
    assert theirs["providers"][0].pop("model_class")["attr"] == "ChatOpenAI"
    assert theirs["providers"][0]["metadata"]["mapping"].pop("model_class") == "ChatOpenAI"
    assert ours["providers"] == theirs["providers"]
    assert ours["lfx"] == theirs["lfx"]
