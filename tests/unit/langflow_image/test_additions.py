"""What docker/langflow/python adds to every Python process of Langflow."""

import importlib.util
import json
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import httpx
import pytest
from unit.scripts.compose import ROOT

ADDITIONS = ROOT / "docker" / "langflow" / "python"
URL = "http://llm:8080/v1"


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs that Langflow's guard against private addresses was asked for clients of."""
    urls: list[str] = []

    def clients(url: str) -> dict[str, Any]:
        urls.append(url)
        return {"http_client": httpx.Client(), "http_async_client": httpx.AsyncClient()}

    module = ModuleType("lfx.utils.ssrf_httpx")
    module.ssrf_protected_openai_clients_for_url = clients  # type: ignore[attr-defined]
    for name in ("lfx", "lfx.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "lfx.utils.ssrf_httpx", module)
    return urls


def chat_model(**options: Any) -> Any:
    path = ADDITIONS / "dagma_openai_compatible" / "chat_model.py"
    spec = importlib.util.spec_from_file_location("chat_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ChatOpenAICompatible(**{"model": "m", "api_key": "k", "base_url": URL, **options})


@pytest.mark.parametrize(
    ("value", "wanted"), [(None, True), ("", True), ("true", True), ("false", False), ("OFF", False)]
)
def test_a_server_is_asked_for_usage_unless_the_setting_says_no(
    value: str | None, wanted: bool, monkeypatch: pytest.MonkeyPatch, guarded: list[str]
) -> None:
    if value is None:
        monkeypatch.delenv("LLM_STREAM_USAGE", raising=False)
    else:
        monkeypatch.setenv("LLM_STREAM_USAGE", value)
    assert chat_model().stream_usage is wanted


def test_private_addresses_are_refused_as_for_langflows_own_class(guarded: list[str]) -> None:
    model = chat_model()
    assert guarded == [URL]
    assert model.http_client is not None
    assert model.http_async_client is not None


def test_clients_that_langflow_gives_are_kept(guarded: list[str]) -> None:
    client = httpx.Client()
    assert chat_model(http_client=client).http_client is client
    assert guarded == []


def test_the_extension_is_found_before_the_package_that_it_stands_in_for() -> None:
    (folder,) = ADDITIONS.glob("*.dist-info")
    metadata = (folder / "METADATA").read_text()
    name = next(line.removeprefix("Name: ") for line in metadata.splitlines() if line.startswith("Name: "))
    assert name < "lfx-openai-compatible"
    assert f"{name} = dagma_openai_compatible\n" in (folder / "entry_points.txt").read_text()
    manifest = json.loads((ADDITIONS / "dagma_openai_compatible" / "extension.json").read_text())
    assert manifest["id"] == name
    assert manifest["providers"][0]["name"] == "OpenAI Compatible"


def test_garbage_is_collected_seldom() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import gc; print(gc.get_threshold())"],
        env={**os.environ, "PYTHONPATH": str(ADDITIONS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "(50000, 50, 1000)"
