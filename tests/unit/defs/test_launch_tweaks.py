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
from dagma.run_config.launch_tweaks import check_launch_tweaks

ASSISTANT = json.loads((Path(__file__).parents[3] / "flows" / "assistant.json").read_text())
MODEL, INPUT = "LanguageModel-assistant", "ChatInput-assistant"


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
    ("name", "value"),
    [
        ("system_message", "Answer in French."),
        ("temperature", 0.7),
        ("max_tokens", 16),
        ("stream", True),
        ("system_message", "Read https://example.com first."),
    ],
)
def test_what_a_flow_is_asked_and_how_may_be_set(name: str, value: Any) -> None:
    check_launch_tweaks({MODEL: {name: value}}, flow())


@pytest.mark.parametrize(
    ("component", "name", "why"),
    [
        (MODEL, "api_key", "a secret"),
        (MODEL, "base_url_ibm_watsonx", "an address"),
        (MODEL, "ollama_base_url", "an address"),
        (MODEL, "provider", "a model or its provider"),
        (MODEL, "model", "a model or its provider"),
        (MODEL, "model_name", "a model or its provider"),
        (MODEL, "code", "code"),
        (INPUT, "files", "an address or a file"),
        (INPUT, "code", "code"),
    ],
)
def test_what_leads_a_flow_elsewhere_is_refused_with_the_reason_and_the_setting(
    component: str, name: str, why: str
) -> None:
    text = refused({component: {name: "x"}})
    assert why in text
    assert f"DAGMA_RUN_CONFIG_TWEAKS={component}.{name}" in text


@pytest.mark.parametrize(
    "name",
    [
        *(
            "openai_api_base",
            "openAIApiBase",
            "BaseURL",
            "baseurl",
            "webhook",
            "proxy_host",
            "curl_input",
            "database_url",
        ),
        *("apikey", "API-KEY", "authToken", "clientSecret", "mypassword", "headers", "aws_secret_access_key"),
        *("python_code", "function_code", "global_imports", "allow_dangerous_code", "filter_instruction", "command"),
        *("agent_llm", "modelName", "embedding_model", "azure_deployment", "model_kwargs"),
        *("path", "file_path", "FileName", "directory"),
    ],
)
def test_a_component_of_ones_own_is_judged_by_the_names_of_its_fields(name: str) -> None:
    assert "by its name" in refused({MODEL: {name: "x"}}, flow(**{name: {}}))


@pytest.mark.parametrize("name", ["max_tokens", "keyword", "country", "n_results", "question", "session_id", "top_k"])
def test_names_that_only_look_alike_may_be_set(name: str) -> None:
    check_launch_tweaks({MODEL: {name: "x"}}, flow(**{name: {}}))


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ({"password": True}, "a secret"),
        ({"type": "model"}, "a model"),
        ({"type": "code"}, "'code'"),
        *(
            ({"type": kind}, repr(kind))
            for kind in ("file", "connect", "mcp", "tools", "auth", "dict", "NestedDict", "table")
        ),
        ({"type": "other"}, "'other'"),
        ({"type": None}, "None"),
        ({"load_from_db": True, "value": "A_VARIABLE"}, "global variable"),
        ({"value": "https://api.example.com/v1"}, "an address"),
        ({"proxy": {"id": "Inner-1", "field": "api_key"}}, "a secret"),
    ],
)
def test_a_field_is_judged_by_how_the_flow_describes_it(field: dict[str, Any], why: str) -> None:
    assert why in refused({MODEL: {"plain": "x"}}, flow(plain=field))


def test_attributes_of_a_field_cannot_be_set_through_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    # Langflow would read the global variable OPENAI_API_KEY into the prompt.
    tweaks = {MODEL: {"system_message": {"value": "OPENAI_API_KEY", "load_from_db": True}}}
    assert "Give a plain value" in refused(tweaks)
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", f"{MODEL}.system_message")
    assert "Give a plain value" in refused(tweaks)


@pytest.mark.parametrize(
    "tweaks",
    [
        {"api_key": "x"},
        {"stream": True},
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


def test_nothing_is_let_through_because_it_stands_beside_what_may_be_set() -> None:
    assert "api_key" in refused({MODEL: {"temperature": 0.5, "api_key": "x"}})
    assert "files" in refused({MODEL: {"temperature": 0.5}, INPUT: {"files": "x"}})


@pytest.mark.parametrize("name", [MODEL, "LanguageModelComponent", "Language Model"])
def test_the_setting_allows_more_by_id_type_or_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", f"Other.api_key, {name}.model_name")
    check_launch_tweaks({MODEL: {"model_name": "smollm2-135m"}}, flow())
    refused({MODEL: {"model_name": "smollm2-135m", "api_key": "x"}})


def test_the_setting_allows_an_object_where_the_field_holds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", f"{MODEL}.model_kwargs")
    check_launch_tweaks({MODEL: {"model_kwargs": {"seed": 7}}}, flow(model_kwargs={"type": "dict"}))


@pytest.mark.parametrize("entry", ["model_name", ".model_name", "Language Model."])
def test_a_setting_that_names_no_field_is_refused_when_the_definitions_load(
    monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    definitions = importlib.import_module("dagma.definitions")
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", entry)
    with pytest.raises(environment.SettingError, match="DAGMA_RUN_CONFIG_TWEAKS has"):
        importlib.reload(definitions)


def test_where_the_flow_cannot_be_looked_up_only_the_setting_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    unseen = FlowReference("f", look_up_error=Forbidden("The server has no such page.", fix=""))
    text = refused({"A-1": {"temperature": 0.5}}, unseen)
    assert "can't be looked up (The server has no such page)" in text
    monkeypatch.setenv("DAGMA_RUN_CONFIG_TWEAKS", "A-1.temperature")
    check_launch_tweaks({"A-1": {"temperature": 0.5}}, unseen)
    refused({"A-1": {"temperature": {"load_from_db": True, "value": "X"}}}, unseen)
    refused({"temperature": 0.5}, unseen)


def test_a_look_up_that_may_succeed_later_is_no_reason_to_refuse() -> None:
    unseen = FlowReference("f", look_up_error=Unreachable("Langflow is away.", fix=""))
    with pytest.raises(Unreachable) as error:
        check_launch_tweaks({"A-1": {"temperature": 0.5}}, unseen)
    assert (error.value.retryable, error.value.outcome) == (True, "not_run")


@pytest.mark.parametrize("tweaks", [{"temperature": 0.5}, {"prompt": {"language": "French"}}])
def test_a_backend_that_describes_no_fields_is_judged_by_names(tweaks: dict[str, Any]) -> None:
    check_launch_tweaks(tweaks, FlowReference("chain"))


@pytest.mark.parametrize(
    "tweaks", [{"model": "x"}, {"openai_api_base": "x"}, {"prompt": {"api_key": "x"}}, {"model": {"temperature": 1}}]
)
def test_a_backend_that_describes_no_fields_keeps_its_addresses_keys_and_models(tweaks: dict[str, Any]) -> None:
    refused(tweaks, FlowReference("chain"))


def test_no_tweaks_ask_for_nothing() -> None:
    check_launch_tweaks({}, FlowReference("f", look_up_error=Unreachable("away", fix="")))


def test_the_name_of_a_flow_without_fields_decides_nothing() -> None:
    check_launch_tweaks({"temperature": 0.2}, FlowReference("code_review_model"))
    with pytest.raises(BadRequest, match="an address or a file"):
        check_launch_tweaks({"choices": [{"size": 1}, [{"base_url": "http://evil"}]]}, FlowReference("chain"))
    with pytest.raises(BadRequest, match="a secret"):
        check_launch_tweaks({"C-1": {"api_key": [{}, "sk"]}}, FlowReference("chain"))
