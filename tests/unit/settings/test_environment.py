"""Settings from variables and from the files that variables name."""

from pathlib import Path

import pytest

from dagma import environment


@pytest.mark.parametrize(
    ("content", "variable", "value"),
    [
        ("sk-secret\n", None, "sk-secret"),
        ("from the file", "from the variable", "from the variable"),
        ("\n", None, "default"),
    ],
    ids=["file", "both", "empty file"],
)
def test_a_setting_is_its_variable_else_the_file_that_another_names_else_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, variable: str | None, value: str
) -> None:
    (tmp_path / "key").write_text(content)
    monkeypatch.setenv("SOME_KEY_FILE", str(tmp_path / "key"))
    if variable:
        monkeypatch.setenv("SOME_KEY", variable)
    assert environment.text("SOME_KEY", default="default") == value


def test_a_file_that_is_missing_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_KEY_FILE", str(tmp_path / "absent"))
    with pytest.raises(environment.SettingError, match=r"SOME_KEY_FILE is .*absent.* can't be read"):
        environment.text("SOME_KEY")


def test_a_variable_of_the_project_is_read_from_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "SHOP_DB_URL").write_text("postgresql://shop")
    (tmp_path / "OTHER").write_text("of the stack")
    assert environment.text("SHOP_DB_URL") is None
    monkeypatch.setenv("DAGMA_PROJECT_SECRETS_DIR", str(tmp_path / "project"))
    assert environment.text("SHOP_DB_URL") == "postgresql://shop"
    assert environment.text("NOT_THERE") is None
    assert environment.text("../OTHER") is None
    monkeypatch.setenv("SHOP_DB_URL", "sqlite://")
    assert environment.secret("SHOP_DB_URL") == "sqlite://"
    with pytest.raises(environment.SettingError, match=r"Write NOT_THERE=\.\.\. into project/\.env"):
        environment.secret("NOT_THERE")
