import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from unit.flows.conftest import FLOW_ID, writes

from dagma.cli import main
from dagma.flows.files import write_flows
from dagma.langflow import LangflowClient
from dagma.testing import FakeLangflow, Fault


@pytest.fixture
def folder(tmp_path: Path, flow: dict[str, Any], fake_langflow: FakeLangflow, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LLM_API_KEY", "LLM_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANGFLOW_BASE_URL", fake_langflow.base_url)
    monkeypatch.setenv("LANGFLOW_API_KEY", fake_langflow.api_key)
    monkeypatch.setenv("LLM_MODEL", "some-model")
    write_flows([flow], tmp_path)
    return tmp_path


def flows(command: str, folder: Path, *more: str) -> int:
    return main(["flows", command, "--dir", str(folder), *more])


def test_a_push_prints_a_line_per_flow_and_sets_the_model(
    folder: Path, client: LangflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert flows("push", folder) == 0
    assert capsys.readouterr().out.split() == ["created", "greeter"]
    (variable,) = client.list_variables()
    assert (variable.name, variable.value, variable.kind) == ("LLM_MODEL", "some-model", "Generic")


def test_a_change_of_the_llm_reaches_the_server_s_variables(
    folder: Path, client: LangflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows("push", folder)
    monkeypatch.setenv("LLM_MODEL", "other-model")
    monkeypatch.setenv("LLM_BASE_URL", "http://elsewhere/v1")
    monkeypatch.setenv("LLM_API_KEY", "secret")
    assert flows("push", folder) == 0
    variables = {variable.name: variable for variable in client.list_variables()}
    assert variables["LLM_MODEL"].value == "other-model"
    assert variables["OPENAI_COMPATIBLE_BASE_URL"].kind == "Generic"
    assert variables["OPENAI_COMPATIBLE_API_KEY"].kind == "Credential"


def test_a_kept_edit_is_said_with_the_fix(
    folder: Path, client: LangflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    flows("push", folder)
    client.upsert_flow({"id": FLOW_ID, "name": "Edited"})
    assert flows("push", folder) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("kept")
    assert "make flows-pull" in line
    assert "FORCE=1" in line
    assert flows("push", folder, "--force") == 0
    assert client.find_flow(FLOW_ID).name == "Greeter"


def test_a_clash_fails_one_flow_and_lets_the_others_through(
    folder: Path, fake_langflow: FakeLangflow, flow: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    fake_langflow.add_flow("Other", endpoint_name="greeter")
    second = {**flow, "id": "33333333-3333-4333-8333-333333333333", "name": "Second", "endpoint_name": "second"}
    write_flows([second], folder)
    assert flows("push", folder) == 1
    failed, created = capsys.readouterr().out.splitlines()
    assert failed.startswith("FAILED     greeter")
    assert created.split() == ["created", "second"]


def test_the_exported_flow_of_another_user_is_told_with_the_fix(
    folder: Path, fake_langflow: FakeLangflow, capsys: pytest.CaptureFixture[str]
) -> None:
    # What the real Langflow answers where the id is taken by a flow of another user, whose look-up finds nothing.
    fake_langflow.script(Fault(path=f"/flows/{FLOW_ID}", method="PUT", status=404, body={"detail": "Flow not found"}))
    assert flows("push", folder) == 1
    assert "another user of this Langflow has a flow with this id" in capsys.readouterr().out


def test_unsound_files_are_not_pushed(
    folder: Path, fake_langflow: FakeLangflow, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.json").write_text('{"id": "x", "name": "Bad", "data": {"nodes": [], "edges": []}}')
    assert flows("push", folder) == 1
    assert "bad.json: id must be a UUID" in capsys.readouterr().err
    assert writes(fake_langflow) == []
    assert flows("validate", folder) == 1


def test_a_pull_writes(folder: Path, client: LangflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    flows("push", folder)
    client.upsert_flow({"id": FLOW_ID, "name": "Edited"})
    capsys.readouterr()
    assert flows("pull", folder, "greeter") == 0
    assert capsys.readouterr().out.startswith("written    Edited")
    assert '"name": "Edited"' in (folder / "greeter.json").read_text()


def test_a_flow_whose_name_another_file_has_is_refused_and_the_others_are_pulled(
    folder: Path, fake_langflow: FakeLangflow, flow: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    second = {**flow, "id": "33333333-3333-4333-8333-333333333333", "name": "Second", "endpoint_name": "second"}
    fake_langflow.add_flow("Greeter", flow={**flow, "id": "44444444-4444-4444-8444-444444444444"})
    fake_langflow.add_flow("Second", flow=second)
    assert flows("pull", folder) == 1
    refused, written = capsys.readouterr().out.splitlines()
    assert refused.startswith("REFUSED    Greeter")
    assert "greeter.json holds another flow" in refused
    assert written.startswith("written    Second")


def test_files_with_one_id_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "my-flow.json").write_text((folder / "greeter.json").read_text())
    assert flows("validate", folder) == 1
    assert "is taken twice" in capsys.readouterr().err


def test_a_name_does_nothing_to_the_terminal(
    folder: Path, fake_langflow: FakeLangflow, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_langflow.add_flow("a\x1b[2J\nREFUSED", endpoint_name="odd")
    assert flows("pull", folder) == 0
    assert "a\ufffd[2J REFUSED" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert flows("push", folder / "nope") == 1
    assert "no folder of flows" in capsys.readouterr().err


# What the real Langflow 1.13 answers to the upload of a key, and the variable of `.env` that fixes it.
REFUSALS = {
    "Authentication failed for the OpenAI-compatible endpoint. Check OPENAI_COMPATIBLE_API_KEY.": "Set LLM_API_KEY in",
    "Could not connect to the OpenAI-compatible endpoint at http://llm.example/v1. Please check that the server is "
    "running and the URL is correct.": "LLM_BASE_URL",
    "DNS resolution failed for llm.example: [Errno -2] Name or service not known": "Correct LLM_BASE_URL",
    "Hostname llm.example resolves to blocked IP address(es): 172.21.0.8. To allow this hostname, add it to "
    "LANGFLOW_SSRF_ALLOWED_HOSTS environment variable.": "add llm.example to LANGFLOW_SSRF_ALLOWED_HOSTS in .env",
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_key_of_the_llm_is_one_line_by_our_variable_s_name(
    folder: Path,
    fake_langflow: FakeLangflow,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refusal: str,
) -> None:
    monkeypatch.setenv("LLM_BASE_URL", "http://user:hidden@llm.example/v1")
    monkeypatch.setenv("LLM_API_KEY", "sk-wrong-key")
    base_url_is_taken = Fault(path="/api/v1/variables", method="POST")
    key_is_refused = replace(base_url_is_taken, status=400, body={"detail": refusal})
    fake_langflow.script(base_url_is_taken, key_is_refused)
    assert flows("push", folder) == 1
    failed, created = capsys.readouterr().out.splitlines()
    assert failed.startswith("FAILED     LLM_API_KEY          was not taken by Langflow, which tried it at http://llm.")
    assert REFUSALS[refusal] in failed
    assert "OPENAI_COMPATIBLE" not in failed
    assert "hidden" not in failed
    assert "sk-wrong-key" not in failed
    assert created.split() == ["created", "greeter"]


def test_a_server_that_is_not_there_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("LANGFLOW_BASE_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert flows("push", folder, "--wait", "0") == 1
    assert capsys.readouterr().err.startswith("dagma: ")
