"""Which fields of a flow a run's config may set."""

import copy
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from dagma import environment
from dagma.calls.request import FlowReference
from dagma.langflow import BadRequest, Forbidden, Unreachable
from dagma.run_config.launch_tweaks import ALWAYS_ALLOWED, check_launch_tweaks

ASSISTANT = json.loads((Path(__file__).parents[3] / "flows" / "assistant.json").read_text())
MODEL, INPUT = "LanguageModel-assistant", "ChatInput-assistant"
(FIELDS,) = (
    [name for name in node["data"]["node"]["template"] if not name.startswith("_")]
    for node in ASSISTANT["data"]["nodes"]
    if node["id"] == MODEL
)


@pytest.fixture(autouse=True)
def nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGMA_RUN_CONFIG_TWEAKS", raising=False)


def flow(**fields: dict[str, Any]) -> FlowReference:
    """The assistant, with more fields of its model's component."""
    document = copy.deepcopy(ASSISTANT)
    (node,) = (node for node in document["data"]["nodes"] if node["id"] == MODEL)
    node["data"]["node"]["template"].update(
        {name: {"name": name, "type": "str", **field} for name, field in fields.items()}
    )
    return FlowReference(document["id"], document=document)


def refused(tweaks: dict[str, Any], at: FlowReference | None = None) -> str:
    with pytest.raises(BadRequest) as error:
        check_launch_tweaks(tweaks, at or flow())
    assert error.value.outcome == "not_run"
    return str(error.value)


@pytest.mark.parametrize(
    ("component", "name", "value"),
    [
        (INPUT, "input_value", "Hello"),
        (MODEL, "system_message", "Answer in French."),
        (MODEL, "temperature", 0.7),
        (MODEL, "max_tokens", 16),
        (MODEL, "stream", True),
        (MODEL, "system_message", "Read https://example.com first."),
    ],
)
def test_what_a_flow_is_asked_and_how_may_be_set(component: str, name: str, value: Any) -> None:
    check_launch_tweaks({component: {name: value}}, flow())


@pytest.mark.parametrize("name", ["input_value", "system_prompt", "max_tokens", "max_iterations", "n_messages"])
def test_what_an_agent_is_asked_and_how_may_be_set(name: str) -> None:
    check_launch_tweaks({MODEL: {name: "x"}}, flow(**{name: {}}))


@pytest.mark.parametrize("name", [name for name in FIELDS if f"*.{name}" not in ALWAYS_ALLOWED.split(", ")])
def test_every_other_field_is_refused_with_the_component_the_field_and_what_to_write(name: str) -> None:
    text = refused({MODEL: {name: "typed-value"}})
    assert f"may not set the field {name!r} of {MODEL!r}" in text
    assert f"add it to DAGMA_RUN_CONFIG_TWEAKS: {MODEL}.{name}" in text
    assert "typed-value" not in text


def test_the_document_on_security_lists_what_is_always_allowed() -> None:
    document = (Path(__file__).parents[3] / "docs" / "security.md").read_text()
    assert ALWAYS_ALLOWED in document


@pytest.mark.parametrize("allowed", ["", f"{MODEL}.system_message"])
def test_attributes_of_a_field_cannot_be_set_through_its_value(monkeypatch: pytest.MonkeyPatch, allowed: str) -> None:
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", allowed)
    # Langflow would read the global variable OPENAI_API_KEY into the prompt.
    text = refused({MODEL: {"system_message": {"value": "OPENAI_API_KEY", "load_from_db": True}}})
    assert "Give a plain value" in text
    assert "OPENAI_API_KEY" not in text


@pytest.mark.parametrize(
    "tweaks",
    [
        {"api_key": "x"},
        {"stream": True},
        {MODEL: 1},
        {"*": {"temperature": 0.5}},
        {"Language Model": {"temperature": 0.5}},
        {"LanguageModelComponent": {"temperature": 0.5}},
        {MODEL.lower(): {"temperature": 0.5}},
        {MODEL: {"Temperature": 0.5}},
        {MODEL: {"Api_Key": "x"}},
        {MODEL: {"_type": "x"}},
        {MODEL: {"not_there": "x"}},
    ],
)
def test_only_fields_of_the_flow_are_taken_by_component_id_and_exact_name(tweaks: dict[str, Any]) -> None:
    refused(tweaks)


def test_a_field_that_the_flow_does_not_have_is_refused_with_those_that_it_has() -> None:
    assert f"ChatInput-assistant, ChatOutput-assistant, {MODEL}" in refused({"A-1": {"stream": True}})
    assert "Its fields are" in refused({MODEL: {"system_prompt": "x"}})


def test_nothing_is_let_through_because_it_stands_beside_what_may_be_set() -> None:
    assert "api_key" in refused({MODEL: {"temperature": 0.5, "api_key": "x"}})
    assert "files" in refused({MODEL: {"temperature": 0.5}, INPUT: {"files": "x"}})


@pytest.mark.parametrize("name", [MODEL, "LanguageModelComponent", "Language Model", "*"])
def test_the_setting_allows_more_by_id_type_or_name_or_for_every_component(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", f"Other.api_key, {name} . model_name,")
    check_launch_tweaks({MODEL: {"model_name": "smollm2-135m", "temperature": 0.5}}, flow())
    refused({MODEL: {"model_name": "smollm2-135m", "api_key": "x"}})


@pytest.mark.parametrize("kind", ["dict", "NestedDict", "mcp"])
def test_the_setting_allows_an_object_where_the_field_holds_one(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", f"{MODEL}.model_kwargs")
    check_launch_tweaks({MODEL: {"model_kwargs": {"seed": 7}}}, flow(model_kwargs={"type": kind}))


@pytest.mark.parametrize(
    "entry", ["model_name", ".model_name", "Language Model.", "Language Model.*", "*", "*.*", "Lang*.model_name"]
)
def test_a_setting_that_names_no_field_is_refused_when_the_definitions_load(
    monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    definitions = importlib.import_module("dagma.definitions")
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", entry)
    with pytest.raises(environment.SettingError, match="DAGMA_RUN_CONFIG_TWEAKS has"):
        importlib.reload(definitions)


def test_where_the_flow_cannot_be_looked_up_the_list_decides_by_component_id(monkeypatch: pytest.MonkeyPatch) -> None:
    unseen = FlowReference("f", look_up_error=Forbidden("The server has no such page.", fix=""))
    check_launch_tweaks({"A-1": {"temperature": 0.5}}, unseen)
    assert "DAGMA_RUN_CONFIG_TWEAKS: A-1.seed" in refused({"A-1": {"seed": 7}}, unseen)
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", "A-1.seed")
    check_launch_tweaks({"A-1": {"seed": 7}}, unseen)
    refused({"A-2": {"seed": 7}}, unseen)
    refused({"A-1": {"seed": {"load_from_db": True, "value": "X"}}}, unseen)
    refused({"seed": 7}, unseen)
    refused({"*": {"seed": 7}}, unseen)


def test_a_look_up_that_may_succeed_later_is_waited_for_where_the_list_may_have_the_component_by_another_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unseen = FlowReference("f", look_up_error=Unreachable("Langflow is away.", fix=""))
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", "Language Model.seed, A-1.model_kwargs")
    check_launch_tweaks({"A-1": {"temperature": 0.5}}, unseen)
    refused({"A-1": {"api_key": "x"}}, unseen)
    for fields in ({"seed": 7}, {"model_kwargs": {"seed": 7}}):
        with pytest.raises(Unreachable) as error:
            check_launch_tweaks({"A-1": fields}, unseen)
        assert (error.value.retryable, error.value.outcome) == (True, "not_run")


@pytest.mark.parametrize("tweaks", [{"temperature": 0.5}, {"prompt": {"language": "French"}}, {"top_p": 1}])
def test_a_backend_without_components_takes_fields_that_the_list_has(
    monkeypatch: pytest.MonkeyPatch, tweaks: dict[str, Any]
) -> None:
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", "*.top_p, prompt.language")
    check_launch_tweaks(tweaks, FlowReference("chain"))


@pytest.mark.parametrize(
    "tweaks",
    [
        {"model": "x"},
        {"prompt": {"api_key": "x"}},
        {"prompt": {"language": {"api_key": "x"}}},
        {"base_url": {"temperature": 1}},
        {"base_url": {}},
        {"chain": {"temperature": 1}},
        {"language": "French"},
        {"choices": [{"base_url": "http://evil"}]},
    ],
)
def test_a_backend_without_components_keeps_all_other_fields(
    monkeypatch: pytest.MonkeyPatch, tweaks: dict[str, Any]
) -> None:
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", "prompt.language")
    refused(tweaks, FlowReference("chain"))


def test_a_component_is_given_with_its_fields() -> None:
    assert "Give {component id: {field: value}}." in refused({MODEL: "typed-value"})
    check_launch_tweaks({MODEL: {}}, flow())


def test_no_tweaks_ask_for_nothing() -> None:
    check_launch_tweaks({}, FlowReference("f", look_up_error=Unreachable("away", fix="")))
