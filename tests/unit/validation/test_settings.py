"""A setting that can't be used is told by its name, with what would do."""

import os
from pathlib import Path

import pytest
from unit.scripts.compose import COMPOSE, exemplified

from dagma import environment
from dagma.validation.setting_checks import refuse_bad_settings, setting_problems


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("DAGMA_", "DAGSTER_", "LANGFLOW_", "LLM_")):
            monkeypatch.delenv(name)


def test_what_env_example_has_for_langflow_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*COMPOSE["x-langflow-choices"], "LANGFLOW_SECURE_COOKIES"):
        monkeypatch.setenv(name, exemplified()[name])
    assert setting_problems() == []


def test_nothing_set_is_fine() -> None:
    assert setting_problems() == []


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("LANGFLOW_SCHEDULE_CRON", "0 25 * * *", "Set it to minute, hour, day, month and weekday"),
        ("DAGMA_TIMEZONE", "Mars", "Set it to an IANA name"),
        ("DAGMA_SCHEDULES_RUNNING", "maybe", "Set it to true or false"),
        ("DAGMA_RECORD_TEXTS", "some", "full, none"),
        ("LANGFLOW_TIMEOUT_SECONDS", "soon", "a number above 0, such as 300."),
        ("LANGFLOW_JOB_TIMEOUT_SECONDS", "-1", "a number above 0, such as 3600."),
        ("DAGMA_WORKER_GRACE_SECONDS", "long", "a number above 0, such as 45."),
        ("DAGMA_FILE_MAX_MB", "0", "a number above 0, such as 25."),
        ("LANGFLOW_MODE", "fast", "auto, direct, job"),
        ("LANGFLOW_VERIFY_TLS", "2", "Set it to true or false"),
        ("LANGFLOW_BASE_URL", "langflow:7860", "http://host:port"),
        ("LANGFLOW_PUBLIC_URL", "langflow.example.org", "http://host:port"),
        ("DAGSTER_PUBLIC_URL", "dagster.example.org", "http://host:port"),
        ("DAGSTER_ALLOWED_HOSTS", "https://dagster.example.org", "hosts without scheme and port"),
        ("DAGMA_OUTBOUND", "redis:6379", "the whole name of each host"),
        ("DAGMA_GATEWAY_SECRET", "guessable", "at least 32 letters and digits"),
        ("DAGMA_RUN_CONFIG_TWEAKS", "model_name", "Give component.field"),
        ("LANGFLOW_TWEAKS_POLICY", "Declared", "'declared', 'permissive' or 'off'"),
        ("LANGFLOW_API_KEY_SOURCE", "user", "'env' or 'db'"),
        ("LANGFLOW_MAX_TEXT_LENGTH", "1e6", "a valid integer"),
        ("LANGFLOW_MAX_TEXT_LENGTH", "0", "greater than 0"),
        ("LANGFLOW_LOG_LEVEL", "verbose", "debug, info, warning, error, critical"),
        ("LANGFLOW_SECURE_COOKIES", "ture", "Set it to true or false"),
        ("LANGFLOW_ALLOW_CUSTOM_COMPONENTS", "none", "Set it to true or false"),
        ("LANGFLOW_CUSTOM_COMPONENT_ADMIN_ONLY", "none", "Set it to true or false"),
        ("LANGFLOW_BLOCK_CODE_INTERPRETER_COMPONENTS", "none", "Set it to true or false"),
        ("LANGFLOW_AGENTIC_EXPERIENCE", "none", "Set it to true or false"),
        ("LLM_STREAM_USAGE", "never", "Set it to true or false"),
        ("LLM_BASE_URL", "llm:8080/v1", "http://host:port"),
        ("LLM_BASE_URL", "http://llm:8O80/v1", "http://host:port"),
        ("LLM_BASE_URL", "http://[::1/v1", "http://host:port"),
        ("LANGFLOW_CA_BUNDLE", "/nowhere/ca.pem", "No such file"),
        ("LANGFLOW_HEADERS", "{not json", "must be a JSON object"),
        ("LANGFLOW_BASIC_USER", "ann", "LANGFLOW_BASIC_PASSWORD"),
        ("LANGFLOW_OAUTH_SCOPE", "read", "LANGFLOW_OAUTH_TOKEN_URL"),
        ("DAGMA_BACKEND", "nowhere.to_be:found", "can't be imported"),
        ("DAGMA_LEDGER_URL", "mysql://somewhere/else", "PostgreSQL or SQLite"),
        ("DAGMA_LEDGER_TEXTS", "some", "full, redacted, none"),
        ("DAGMA_LEDGER_REDACT", "(unclosed", "not a regular expression"),
        ("DAGMA_LEDGER_ON_UNKNOWN", "guess", "fail, resend"),
        ("DAGMA_LEDGER_REPLAY_HOURS", "abc", "a number above 0, such as 72."),
        ("DAGMA_LEDGER_REPLAY_HOURS", "0", "a number above 0, such as 72."),
        ("DAGMA_LEDGER_REPLAY_HOURS", "1e9", "ten years"),
        ("DAGMA_QUOTAS", "calls=many/day", "Quota 'calls=many/day' can't be read"),
        ("DAGMA_PRICES", "gpt-4o=cheap", "Price 'gpt-4o=cheap' can't be read"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_with_its_name_and_cause(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, cause: str
) -> None:
    monkeypatch.setenv(name, value)
    problems = setting_problems()
    assert [problem for problem in problems if name in problem and cause in problem], problems
    assert len(problems) == 1


def test_a_setting_in_a_file_is_read_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "quotas").write_text("calls=many/day\n")
    monkeypatch.setenv("DAGMA_QUOTAS_FILE", str(tmp_path / "quotas"))
    (problem,) = setting_problems()
    assert problem.startswith("DAGMA_QUOTAS: Quota 'calls=many/day' can't be read")


def test_a_gateway_without_its_secret_is_no_open_door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    monkeypatch.setenv("DAGMA_GATEWAY_SECRET_FILE", str(tmp_path / "secret"))
    (problem,) = setting_problems()
    assert problem.startswith("DAGMA_GATEWAY_SECRET_FILE names a file that is empty")


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_QUOTAS", "calls=many/day")
    monkeypatch.setenv("LANGFLOW_SCHEDULE_CRON", "0 25 * * *")
    assert len(setting_problems()) == 2
    with pytest.raises(environment.SettingError, match=r"(?s)DAGMA_QUOTAS.*LANGFLOW_SCHEDULE_CRON"):
        refuse_bad_settings()
