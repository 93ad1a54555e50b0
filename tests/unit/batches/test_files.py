"""Files of rows: uploaded for the calls that use them, asked about again when they change, and deleted."""

import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from unit.batches.conftest import QUICK, sends

from dagma import CallRequest
from dagma.backends.function import CallableBackend
from dagma.backends.langflow.langflow_resource import langflow_from_environment
from dagma.batches import asking
from dagma.batches.ask_rows import ask_rows
from dagma.batches.errors import RowsError
from dagma.batches.row_result import RowResult
from dagma.batches.staged_rows import StagedRow, StagedRows
from dagma.calls.attached_files import AttachedFile
from dagma.retention.langflow_history import CALL_FILE
from dagma.testing import FakeCall, FakeLangflow, Fault

FIELD = "File-1.path"
READER = {
    "data": {
        "nodes": [
            {"id": "File-1", "data": {"type": "File", "node": {"template": {"path": {}, "separator": {}}}}},
            {"id": "ChatInput-1", "data": {"type": "ChatInput", "node": {"template": {"files": {}}}}},
        ],
        "edges": [],
    }
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: FakeLangflow) -> Path:
    """The project's data folder."""
    folder = tmp_path / "project" / "data"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"{name}.txt").write_text(f"the text {name}")
    monkeypatch.setenv("DAGMA_PROJECT_DIR", str(folder.parent))
    return folder


class Reader:
    """A flow that answers with what is in its files.

    Attributes:
        calls: The calls that it got.
        most: How many files were on the server at a time.
    """

    def __init__(self, fake: FakeLangflow) -> None:
        self.calls: list[FakeCall] = []
        self.most = 0
        self._fake = fake

    def __call__(self, call: FakeCall) -> str:
        self.calls.append(call)
        self.most = max(self.most, len(self._fake.files))
        paths = call.tweaks["File-1"]["path"]
        contents = [self._fake.file_content(path) for path in ([paths] if isinstance(paths, str) else paths)]
        return " + ".join("missing" if content is None else content.decode() for content in contents)


@pytest.fixture(autouse=True)
def reader(fake: FakeLangflow) -> Reader:
    reader = Reader(fake)
    fake.add_flow("reader", reader, flow=READER)
    return reader


def ask(rows: Any, files: Any = None, **options: Any) -> dict[str, RowResult]:
    """Ask the flow about the files of rows, which are in the column `file`."""
    files = files or {FIELD: "data/{{ row.file }}"}
    options = {"backend": langflow_from_environment(QUICK), "input": "Read it.", **options}
    results = ask_rows(rows, key="id", flow="reader", files=files, table="read", **options)
    return {result.key: result for result in results}


def answers(results: dict[str, RowResult]) -> dict[str, Any]:
    return {key: result.output and result.output["answer"] for key, result in results.items()}


def uploads(fake: FakeLangflow) -> list[str]:
    """Which contents were uploaded, by how their multipart bodies end."""
    bodies = [request.body for request in fake.requests if (request.method, request.path) == ("POST", "/api/v2/files/")]
    return sorted(body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0].decode() for body in bodies)


def test_a_flow_reads_the_file_of_each_row_and_no_file_stays(fake: FakeLangflow, data: Path) -> None:
    rows = [{"id": 1, "file": "a.txt"}, {"id": 2, "file": "b.txt"}]
    assert answers(ask(rows)) == {"1": "the text a", "2": "the text b"}
    assert fake.files == []


def test_each_call_has_its_own_upload_for_as_long_as_it_takes(fake: FakeLangflow, data: Path, reader: Reader) -> None:
    rows = [{"id": n, "file": "a.txt", "of": f"row {n}"} for n in range(1, 9)]
    results = ask(rows, {FIELD: "data/{{ row.file }}"}, input="Read it for {{ row.of }}.", concurrency=2)
    assert set(answers(results).values()) == {"the text a"}
    assert uploads(fake) == ["the text a"] * 8
    assert reader.most <= 2 * 2
    assert fake.files == []


def test_only_a_row_whose_file_has_changed_is_asked_again(fake: FakeLangflow, data: Path) -> None:
    rows = [{"id": 1, "file": "a.txt"}, {"id": 2, "file": "b.txt"}]
    ask(rows)
    (data / "b.txt").write_text("another text")
    assert answers(ask(rows)) == {"1": "the text a", "2": "another text"}
    assert len(sends(fake)) == 3


def test_contents_paths_and_lists_of_them_can_be_handed_over(fake: FakeLangflow, data: Path, reader: Reader) -> None:
    rows = [{"id": 1, "file": b"bytes"}, {"id": 2, "file": data / "a.txt"}, {"id": 3, "file": [b"one", "data/b.txt"]}]
    results = ask(rows, {FIELD: "{{ row.file }}"}, tweaks={"File-1": {"separator": "{{ row.id }}"}})
    assert answers(results) == {"1": "bytes", "2": "the text a", "3": "one + the text b"}
    assert sorted(call.tweaks["File-1"]["separator"] for call in reader.calls) == [1, 2, 3]


def test_contents_wait_for_their_calls_in_the_storage_folder(
    fake: FakeLangflow, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_STORAGE_DIR", str(tmp_path / "storage"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "there is no room here"))
    rows = [{"id": number, "file": content} for number, content in enumerate([b"one", b"two", b"one"], start=1)]
    assert answers(ask(rows, {FIELD: "{{ row.file }}"})) == {"1": "one", "2": "two", "3": "one"}


class TakesFiles(CallableBackend):
    """A function that takes files."""

    target: str = f"{__name__}:slow"

    @property
    def takes_files(self) -> bool:
        return True


def slow(request: CallRequest) -> str:
    time.sleep(0.01)
    return f"read {len(request.files or {})}"


def test_contents_are_in_memory_for_as_long_as_their_rows_are_asked(
    databases: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: weakref.WeakSet[AttachedFile] = weakref.WeakSet()
    most = 0

    def watched(staged: StagedRows) -> Iterator[StagedRow]:
        nonlocal most
        for row in to_ask(staged):
            loaded.update(cast("dict[str, AttachedFile]", row.files).values())
            most = max(most, len(loaded))
            yield row

    to_ask = StagedRows.to_ask
    monkeypatch.setattr(StagedRows, "to_ask", watched)
    # Many rows would wait to be asked, and to be written.
    monkeypatch.setattr(asking, "AHEAD_SECONDS", 60)
    monkeypatch.setattr(asking, "WRITE_SECONDS", 60)
    rows = ({"id": number, "file": f"text {number}".encode()} for number in range(60))
    results = ask(rows, {FIELD: "{{ row.file }}"}, backend=TakesFiles(), concurrency=4)
    assert set(answers(results).values()) == {"read 1"}
    assert most <= 12


def test_a_row_whose_file_can_not_be_read_fails_by_itself(fake: FakeLangflow, data: Path) -> None:
    rows = [{"id": 1, "file": "a.txt"}, {"id": 2, "file": "../../ledger.db"}, {"id": 3, "file": "no.txt"}, {"id": 4}]
    results = ask(rows)
    assert answers(results)["1"] == "the text a"
    assert {key: result.error_kind for key, result in results.items() if result.error} == {
        "2": "BadFile",
        "3": "BadFile",
        "4": "TemplateFault",
    }
    assert "leads out of the project's data folder" in str(results["2"].error)
    assert uploads(fake) == ["the text a"]


def test_an_upload_that_fails_for_a_moment_is_sent_again(fake: FakeLangflow, data: Path) -> None:
    fake.script(Fault(path="/api/v2/files", status=503, headers={"Retry-After": "0"}))
    assert answers(ask([{"id": 1, "file": "a.txt"}])) == {"1": "the text a"}


def test_a_file_that_langflow_refuses_fails_its_row_and_runs_nothing(fake: FakeLangflow, data: Path) -> None:
    too_large = {"detail": "File size is larger than the maximum file size 1MB."}
    fake.script(Fault(path="/api/v2/files", status=413, body=too_large))
    (result,) = ask([{"id": 1, "file": "a.txt"}]).values()
    assert "File size is larger than the maximum file size 1MB" in str(result.error)
    assert sends(fake) == []


def test_a_file_that_can_not_be_deleted_costs_no_answer(
    fake: FakeLangflow, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake.script(Fault(method="DELETE", path="/api/v2/files", status=500, times=0))
    assert answers(ask([{"id": 1, "file": "a.txt"}])) == {"1": "the text a"}
    assert "stays on Langflow until `dagma prune` deletes it" in caplog.text
    (left,) = fake.files
    assert CALL_FILE.fullmatch(left.name)


def test_files_for_what_takes_none_are_refused_before_anything_is_asked(fake: FakeLangflow, data: Path) -> None:
    rows = [{"id": 1, "file": "a.txt"}]
    with pytest.raises(RowsError, match=r"The backend 'callable' takes no files\. Leave files out"):
        ask(rows, backend=CallableBackend(target="builtins:str"))
    for files, told in (
        ({"path": "x"}, "Name the component's id and the field"),
        ({FIELD: "{{ file }}"}, r"The template of files\.File-1\.path uses file"),
    ):
        with pytest.raises(RowsError, match=told):
            ask(rows, files)
    (result,) = ask(rows, {"File-2.path": "data/a.txt"}).values()
    assert "has no component with the id 'File-2'" in str(result.error)
    assert sends(fake) == []
