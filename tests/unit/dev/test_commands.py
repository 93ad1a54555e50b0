import re
from dataclasses import replace
from pathlib import Path

import pytest
from unit.scripts.compose import ROOT, SERVICES

from dagma.dev import commands
from dagma.dev.__main__ import screen
from dagma.dev.dev_settings import Settings, read_settings
from dagma.flows import ASSISTANT

# What decides which web page may call Langflow, who runs code in it, and what is cut.
CHOICES = [
    "LANGFLOW_ACCESS_SAME_SITE",
    "LANGFLOW_AGENTIC_EXPERIENCE",
    "LANGFLOW_ALLOW_CUSTOM_COMPONENTS",
    "LANGFLOW_ALLOW_PUBLIC_CUSTOM_COMPONENTS",
    "LANGFLOW_BLOCK_CODE_INTERPRETER_COMPONENTS",
    "LANGFLOW_CORS_ALLOW_CREDENTIALS",
    "LANGFLOW_CORS_ORIGINS",
    "LANGFLOW_CUSTOM_COMPONENT_ADMIN_ONLY",
    "LANGFLOW_MAX_ITEMS_LENGTH",
    "LANGFLOW_MAX_TEXT_LENGTH",
    "LANGFLOW_REFRESH_SAME_SITE",
    "LANGFLOW_TWEAKS_POLICY",
    "LLM_STREAM_USAGE",
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "docker-compose.yml").symlink_to(ROOT / "docker-compose.yml")
    return Settings(
        root=tmp_path,
        state=tmp_path / ".dev",
        ports={"DAGSTER_PORT": 3000, "LANGFLOW_PORT": 7860, "LLM_PORT": 8080},
        langflow_url="http://127.0.0.1:7860",
        llm_url="http://127.1:8080/v1",
        secrets={
            "LANGFLOW_API_KEY": "sk-1",
            "LANGFLOW_SECRET_KEY": "key",
            "LANGFLOW_SUPERUSER": "admin",
            "LANGFLOW_SUPERUSER_PASSWORD": "password-1",
        },
    )


def test_bytecode_is_written_and_our_packages_stay_out(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    for _, environment in (commands.llm(settings), commands.langflow(settings)):
        assert "PYTHONDONTWRITEBYTECODE" not in environment
        assert "/somewhere" not in environment.get("PYTHONPATH", "")


def test_langflow_is_started_as_the_stack_starts_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHOICES:
        monkeypatch.delenv(name, raising=False)
    _, environment = commands.langflow(settings)
    in_the_stack = SERVICES["langflow"]["environment"]
    for name in CHOICES:
        assert environment[name] == re.sub(r"\$\{\w+:-(.*)\}", r"\1", in_the_stack[name]), name
    assert "127.1" in environment["NO_PROXY"].split(","), "of this machine, and not of the stack"
    assert environment["LANGFLOW_DATABASE_URL"].startswith("sqlite:")
    assert environment["PYTHONPATH"] == str(settings.root / "docker" / "langflow" / "python")
    assert (ROOT / "docker" / "langflow" / "python" / "sitecustomize.py").is_file()


def test_who_starts_it_may_choose_otherwise(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFLOW_BLOCK_CODE_INTERPRETER_COMPONENTS", "false")
    _, environment = commands.langflow(settings)
    assert environment["LANGFLOW_BLOCK_CODE_INTERPRETER_COMPONENTS"] == "false"


def test_dagster_and_langflow_share_the_key(settings: Settings) -> None:
    _, langflow = commands.langflow(settings)
    dagma = commands.dagma_environment(settings)
    assert langflow["LANGFLOW_API_KEY"] == dagma["LANGFLOW_API_KEY"] == settings.secrets["LANGFLOW_API_KEY"]
    assert "LANGFLOW_SECRET_KEY" not in dagma


def test_the_projects_own_variables_reach_dagster_and_not_langflow(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings.root / "project").mkdir()
    (settings.root / "project" / ".env").write_text("SHOP_DB_URL='sqlite:///${shop}.db'\nMAIL_KEY=of the file\n")
    monkeypatch.setenv("MAIL_KEY", "of the shell")
    environment = commands.dagma_environment(settings)
    assert (environment["SHOP_DB_URL"], environment["MAIL_KEY"]) == ("sqlite:///${shop}.db", "of the shell")
    assert "SHOP_DB_URL" not in commands.langflow(settings)[1]


def test_no_secret_stands_on_a_command_line(settings: Settings) -> None:
    lines = [
        commands.llm(settings)[0],
        commands.langflow(settings)[0],
        commands.dagster(settings),
    ]
    words = {word for line in lines for word in line}
    assert not words & (set(settings.secrets.values()) - {"admin"})


def test_everything_listens_on_this_machine_only(settings: Settings) -> None:
    assert commands.llm(settings)[1]["LLM_HOST"] == "127.0.0.1"
    for line in (commands.langflow(settings)[0], commands.dagster(settings)):
        assert line[line.index("--host") + 1] == "127.0.0.1"


def test_an_llm_elsewhere_is_allowed_by_its_host(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANGFLOW_SSRF_ALLOWED_HOSTS", raising=False)
    monkeypatch.setenv("LLM_API_KEY", "k")
    _, environment = commands.langflow(replace(settings, llm_url="http://gpu.lan:9000/v1"))
    assert environment["OPENAI_COMPATIBLE_BASE_URL"] == "http://gpu.lan:9000/v1"
    assert environment["OPENAI_COMPATIBLE_API_KEY"] == "k"
    assert "gpu.lan" in environment["LANGFLOW_SSRF_ALLOWED_HOSTS"].split(",")


def test_the_default_flow_can_be_changed_and_switched_off(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANGFLOW_DEFAULT_FLOW_ID", raising=False)
    assert commands.dagma_environment(settings)["LANGFLOW_DEFAULT_FLOW_ID"] == ASSISTANT
    monkeypatch.setenv("LANGFLOW_DEFAULT_FLOW_ID", "")
    assert commands.dagma_environment(settings)["LANGFLOW_DEFAULT_FLOW_ID"] == ""


def test_a_langflow_elsewhere_is_told_of_an_llm_only_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LLM_MODEL", "LLM_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    variables = {"DAGSTER_PORT": "0", "LANGFLOW_BASE_URL": "http://elsewhere", "LANGFLOW_API_KEY": "k"}
    settings = read_settings(tmp_path, variables)
    environment = commands.dagma_environment(settings)
    assert not {"LLM_MODEL", "LLM_BASE_URL"} & set(environment)
    assert environment["LANGFLOW_API_KEY"] == "k"


def test_the_screen_names_urls_login_logs_and_the_next_command(settings: Settings) -> None:
    text = screen(settings)
    for part in ("http://127.0.0.1:3000", "http://127.0.0.1:7860", settings.secrets["LANGFLOW_SUPERUSER_PASSWORD"]):
        assert part in text
    assert f"{settings.state}" in text
    assert ".venv/bin/dagma ask" in text
    for name in ("LANGFLOW_API_KEY", "LANGFLOW_SECRET_KEY"):
        assert settings.secrets[name] not in text
