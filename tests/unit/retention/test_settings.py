"""The days that the environment names."""

import pytest

from dagma.environment import SettingError
from dagma.retention.retention_settings import RetentionSettings

NAMES = ("RUNS", "LANGFLOW", "CHATS", "LEDGER")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"DAGMA_RETENTION_{name}_DAYS", raising=False)


def test_people_s_chats_are_kept_for_ever_by_default_and_all_else_is_not() -> None:
    settings = RetentionSettings.from_environment()
    assert settings == RetentionSettings(runs=30, langflow=30, chats=0, ledger=400)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("days", [0, 30, 36_500])
def test_days_are_read(monkeypatch: pytest.MonkeyPatch, name: str, days: int) -> None:
    monkeypatch.setenv(f"DAGMA_RETENTION_{name}_DAYS", str(days))
    assert getattr(RetentionSettings.from_environment(), name.lower()) == days


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["a month", "-1", "1.5", "36501", "²", "9" * 30])
def test_what_is_no_number_of_days_is_told_with_the_fix(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    variable = f"DAGMA_RETENTION_{name}_DAYS"
    monkeypatch.setenv(variable, value)
    with pytest.raises(
        SettingError, match=rf"{variable} is .*whole days, from \d+ to 36500, or to 0 to keep everything"
    ):
        RetentionSettings.from_environment()


@pytest.mark.parametrize("days", [1, 29])
def test_calls_are_kept_for_thirty_days_at_least(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    monkeypatch.setenv("DAGMA_RETENTION_LEDGER_DAYS", str(days))
    with pytest.raises(SettingError, match="from 30 to"):
        RetentionSettings.from_environment()
    monkeypatch.delenv("DAGMA_RETENTION_LEDGER_DAYS")
    monkeypatch.setenv("DAGMA_RETENTION_RUNS_DAYS", str(days))
    assert RetentionSettings.from_environment().runs == days
