"""docker/langflow/start.py: Langflow's secrets, from files into the process that becomes Langflow."""

import os
import runpy
from pathlib import Path

import pytest

START = Path(__file__).parents[3] / "docker" / "langflow" / "start.py"
ODD = "a key with $HOME ${PATH} # \\n 'single' and \"double\" quotes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, value in {"KEY": ODD, "EMPTY": "", "LINE": "with a newline\n"}.items():
        (tmp_path / name).write_text(value)
    return tmp_path


def read_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = runpy.run_path(str(START))
    monkeypatch.setitem(module["read_secrets"].__globals__, "SECRETS", folder)
    module["read_secrets"]()


def test_a_variable_becomes_what_its_file_holds_to_the_letter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEY", "LINE"):
        monkeypatch.setenv(f"SOME_{name}_FILE", str(folder / name))
        monkeypatch.setenv(f"SOME_{name}", "")
    read_secrets(folder, monkeypatch)
    assert (os.environ["SOME_KEY"], os.environ["SOME_LINE"]) == (ODD, "with a newline")


def test_an_empty_file_leaves_the_variable_as_it_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "none")
    monkeypatch.setenv("SOME_KEY_FILE", str(folder / "EMPTY"))
    read_secrets(folder, monkeypatch)
    assert os.environ["SOME_KEY"] == "none"


def test_other_variables_that_name_files_are_let_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(START))
    read_secrets(folder, monkeypatch)
    assert "SSL_CERT" not in os.environ
