"""What becomes of the files of one call: uploaded before it, named in its tweaks, deleted when nothing reads them."""

from typing import Any

import pytest
from unit.calls.conftest import NO_HISTORY, rows, sends
from unit.calls.quick_policy import policy

from dagma.backends.function import CallableBackend
from dagma.backends.langflow.langflow_jobs import LangflowJobs
from dagma.backends.langflow.langflow_resource import LangflowRestResource, langflow_from_environment
from dagma.calls.attached_files import attach_files
from dagma.calls.request import CallRequest, FlowReference
from dagma.langflow import BadRequest, FlowFailed, LangflowError
from dagma.testing import ComponentFailed, FakeCall, FakeLangflow, Fault

READER = {"data": {"nodes": [{"id": "File-1", "data": {"type": "File", "node": {"template": {"path": {}}}}}]}}
FILES = {"File-1.path": b"the text"}


def backend() -> LangflowRestResource:
    return langflow_from_environment(policy())


@pytest.fixture
def flow_id(fake: FakeLangflow) -> str:
    """A flow that answers with what is in its file, or fails if it is empty."""

    def read(call: FakeCall) -> str:
        content = fake.file_content(call.tweaks["File-1"]["path"])
        if not content:
            raise ComponentFailed("File", "There is nothing in it.")
        return content.decode()

    return fake.add_flow("reader", read, flow=READER)


def text_of(response: dict[str, Any], of: LangflowRestResource) -> str | None:
    return of.read(response).text


def test_a_direct_call_leaves_no_file(fake: FakeLangflow, flow_id: str) -> None:
    asked = backend()
    assert text_of(asked.run_flow("read it", flow_id=flow_id, files=FILES), asked) == "the text"
    with pytest.raises(FlowFailed, match="There is nothing in it"):
        asked.run_flow("read it", flow_id=flow_id, files={"File-1.path": b""})
    assert fake.files == []


def test_the_content_is_part_of_the_key_of_a_call(fake: FakeLangflow, flow_id: str) -> None:
    asked = backend()
    for content in (b"one", b"other", b"other"):
        asked.run_flow("read it", flow_id=flow_id, files={"File-1.path": content}, row="1")
    hashes = [row["input_hash"] for row in rows()]
    assert len(hashes) == 3
    assert hashes[0] != hashes[1] == hashes[2]


def test_a_file_stays_where_a_flow_may_still_read_it(fake: FakeLangflow, flow_id: str) -> None:
    fake.script(NO_HISTORY, Fault(path="/api/v1/run", drop=True, times=0))
    with pytest.raises(LangflowError) as raised:
        backend().run_flow("read it", flow_id=flow_id, files=FILES)
    assert raised.value.outcome == "unknown"
    assert len(fake.files) == 1


def test_a_job_finds_its_file_whenever_it_runs(fake: FakeLangflow, flow_id: str) -> None:
    asked = backend()
    assert text_of(asked.run_flow("read it", flow_id=flow_id, files=FILES, mode="job"), asked) == "the text"
    assert [file.content for file in fake.files] == [b"the text"]


def test_a_job_is_found_by_its_key_although_its_file_is_uploaded_again(fake: FakeLangflow, flow_id: str) -> None:
    jobs = LangflowJobs(backend(), seconds=60.0)
    request = CallRequest(flow_id=flow_id, input_value="read it", files=attach_files(FILES))
    first, second = (jobs.submit(request, FlowReference(flow_id), "one key") for _ in range(2))
    assert first == second
    assert len(fake.files) == 2


def test_a_file_stays_where_a_shared_session_keeps_its_path(fake: FakeLangflow, flow_id: str) -> None:
    backend().run_flow("read it", flow_id=flow_id, files=FILES, session_id="call-center-7")
    assert len(fake.files) == 1


def test_a_call_whose_file_can_not_be_uploaded_surely_did_not_run(fake: FakeLangflow, flow_id: str) -> None:
    fake.script(Fault(path="/api/v2/files", status=400, body={"detail": "no"}))
    with pytest.raises(BadRequest) as raised:
        backend().run_flow("read it", flow_id=flow_id, files=FILES)
    assert raised.value.outcome == "not_run"
    assert sends(fake) == []
    assert [row["state"] for row in rows()] == ["failed"]


def test_a_backend_that_takes_no_files_says_so(fake: FakeLangflow) -> None:
    with pytest.raises(BadRequest, match=r"The backend 'callable' takes no files\. Leave files out, or ask Langflow"):
        CallableBackend(target="builtins:str").run_flow("x", files=FILES)
    assert rows() == []
