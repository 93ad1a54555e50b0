"""Which files can be handed to a flow, and what is said of the others."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from dagma.calls.attached_files import AttachedFile, BadFile, attach_files, check_file_fields, identity_of
from dagma.calls.request import CallRequest


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose data folder is a link, as in the containers, beside files that are nobody's business."""
    project, data = tmp_path / "project", tmp_path / "mounted"
    (data / "invoices").mkdir(parents=True)
    (data / "invoices" / "1.PDF").write_bytes(b"%PDF-1")
    (data / "inner.pdf").symlink_to(data / "invoices" / "1.PDF")
    (data / "outer.txt").symlink_to(tmp_path / "secret.txt")
    (data / "folder.txt").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "mounted-too").mkdir()
    (tmp_path / "mounted-too" / "a.txt").write_text("secret")
    project.mkdir()
    (project / "defs.py").write_text("secret")
    (project / "data").symlink_to(data)
    monkeypatch.setenv("DAGMA_PROJECT_DIR", str(project))
    monkeypatch.delenv("DAGMA_FILE_MAX_MB", raising=False)
    return project


def attached(value: Any) -> AttachedFile:
    """One file for one field."""
    files = attach_files({"File-1.path": value})
    assert files is not None
    file = files["File-1.path"]
    assert isinstance(file, AttachedFile)
    return file


@pytest.mark.parametrize("path", ["data/invoices/1.PDF", "data/inner.pdf"])
def test_a_path_in_the_data_folder_is_read(path: str, project: Path) -> None:
    for value in (path, Path(path), project / path):
        file = attached(value)
        assert (file.extension, file.read()) == (".pdf", b"%PDF-1")
        assert file.digest == hashlib.sha256(b"%PDF-1").hexdigest()


@pytest.mark.parametrize(
    "path",
    [
        *("/run/secrets/langflow_api_key", "/etc/passwd", "/proc/self/environ", "defs.py", "../secret.txt"),
        *("data/outer.txt", "data/../../secret.txt", "data/../../mounted-too/a.txt", "data/../../no-such-file"),
    ],
)
def test_a_path_that_leads_out_of_the_data_folder_is_refused_whether_it_is_there_or_not(path: str) -> None:
    for value in (path, Path(path)):
        with pytest.raises(BadFile, match=r"which leads out of the project's data folder\. Put the file") as raised:
            attached(value)
        assert raised.value.outcome == "not_run"
        assert not raised.value.retryable


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("data/no.txt", "can't be read from .*no.txt': no file is there"),
        ("data/folder.txt", "no file is there"),
        ("data/a\x00.txt", "can't be followed"),
        ("data/" + "a" * 5000, "can't be"),
        ("", r"The file for 'File-1.path' is empty\. Give bytes, or a path in project/data\."),
        (None, "is empty"),
        (float("nan"), "is empty"),
        (7, "is a int"),
        (["data/inner.pdf", None], "is empty"),
    ],
)
def test_what_can_not_be_handed_over_is_told(value: Any, told: str) -> None:
    with pytest.raises(BadFile, match=told):
        attach_files({"File-1.path": value})


def test_a_pipe_is_never_waited_for(project: Path) -> None:
    os.mkfifo(project / "data" / "pipe.txt")
    with pytest.raises(BadFile, match="no file is there"):
        attached("data/pipe.txt")


def test_a_file_may_be_as_large_as_the_setting_says(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_FILE_MAX_MB", "0.001")
    (project / "data" / "most.txt").write_bytes(b"a" * 1000)
    (project / "data" / "more.txt").write_bytes(b"a" * 1001)
    assert len(attached("data/most.txt").read()) == 1000
    for value in ("data/more.txt", b"a" * 1001):
        with pytest.raises(BadFile, match=r"is larger than 0.001 MB\. Make it smaller, or raise DAGMA_FILE_MAX_MB"):
            attached(value)


@pytest.mark.parametrize(
    ("content", "extension"),
    [(b"%PDF-1.7", ".pdf"), (b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff\xe0", ".jpg"), (b"PK\x03\x04\xff", ".txt")],
)
def test_the_kind_of_bytes_is_told_by_how_they_begin(content: bytes, extension: str) -> None:
    assert attached(content).extension == extension


def test_the_content_decides_whether_a_call_is_the_same_and_the_path_does_not(project: Path) -> None:
    def deciding(value: Any) -> dict[str, Any]:
        return CallRequest(flow_id="f", input_value="x", files=attach_files({"File-1.path": value})).deciding()

    before = deciding("data/invoices/1.PDF")
    assert before == deciding("data/inner.pdf") == deciding(b"%PDF-1")
    assert before != deciding(["data/inner.pdf", "data/inner.pdf"])
    (project / "data" / "invoices" / "1.PDF").write_bytes(b"%PDF-2")
    assert before != deciding("data/invoices/1.PDF")
    assert "files" not in CallRequest(flow_id="f", input_value="x").deciding()


def test_a_file_that_changes_after_it_was_looked_at_is_not_sent(project: Path) -> None:
    file = attached("data/invoices/1.PDF")
    (project / "data" / "invoices" / "1.PDF").write_bytes(b"%PDF-2")
    with pytest.raises(
        BadFile, match=r"The file '1.PDF' has changed since the run began\. Materialize the asset again"
    ):
        file.read()


def test_a_file_needs_a_component_and_a_field_of_its_own() -> None:
    check_file_fields(["File-1.path"], {"File-1": {"separator": ";"}})
    for name in ("path", ".path", "File-1."):
        with pytest.raises(BadFile, match=r"Name the component's id and the field, such as File-a1b2c\.path"):
            check_file_fields([name], None)
    with pytest.raises(BadFile, match=r"Both files and tweaks set 'File-1\.path'"):
        check_file_fields(["File-1.path"], {"File-1": {"path": "x"}})


def test_the_identity_of_files_is_plain_json() -> None:
    digest = hashlib.sha256(b"a").hexdigest()
    files = attach_files({"A-1.path": b"a", "B-1.files": [b"a"]})
    assert files is not None
    assert identity_of(files) == {"A-1.path": [[digest, ".txt"]], "B-1.files": [[digest, ".txt"]]}
