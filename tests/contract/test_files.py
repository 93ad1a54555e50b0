"""Files are uploaded under names of our own, listed with their age, read by flows, and deleted."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from contract.conftest import LangflowServer, flow_named

from dagma.langflow import BadRequest, LangflowClient, StoredFile
from dagma.testing import FakeCall


@pytest.fixture
def name(client: LangflowClient) -> Iterator[str]:
    """A name that nobody else uses; what was uploaded under it goes with the test."""
    root = f"contract-{uuid4().hex}"
    yield root
    for file in files_named(client, root):
        client.delete_file(file.id)


@pytest.fixture
def reader(client: LangflowClient, langflow_server: LangflowServer) -> Iterator[str]:
    """The id of a flow that answers with the text of its file."""

    def read(call: FakeCall) -> str:
        (file,) = [file for file in client.list_files() if file.path == call.tweaks["Reader-1"]["path"]]
        return langflow_server.request("GET", f"/api/v2/files/{file.id}").text

    flow_id = str(uuid4())
    client.upsert_flow(flow_named("reader", flow_id))
    if langflow_server.behave is not None:
        langflow_server.behave(flow_id, read)
    yield flow_id
    client.delete_flow(flow_id)


def files_named(client: LangflowClient, root: str) -> list[StoredFile]:
    return [file for file in client.list_files() if file.name.startswith(root)]


def test_an_uploaded_file_is_listed_with_its_time_and_deleted_once(client: LangflowClient, name: str) -> None:
    content = bytes(range(256)) * 5
    uploaded = client.upload_file(f"{name}.bin", content)
    assert (uploaded.name, uploaded.size) == (name, len(content))
    # What a tweak takes: a folder of the user's own, and the name with its extension.
    assert uploaded.path.split("/")[1:] == [f"{name}.bin"]

    (listed,) = files_named(client, name)
    assert (listed.id, listed.path, listed.size) == (uploaded.id, uploaded.path, uploaded.size)
    assert listed.created_at is not None
    assert abs(listed.created_at - datetime.now(UTC)) < timedelta(minutes=5)

    assert client.delete_file(uploaded.id)
    assert not client.delete_file(uploaded.id)
    assert files_named(client, name) == []


def test_a_name_that_is_taken_is_numbered(client: LangflowClient, name: str) -> None:
    first, second = (client.upload_file(f"{name}.txt", text) for text in (b"one", b"two"))
    assert (first.name, second.name) == (name, f"{name} (1)")
    assert first.path != second.path


def test_a_file_comes_back_as_it_was_sent(client: LangflowClient, langflow_server: LangflowServer, name: str) -> None:
    content = b"\r\n--boundary\r\n\x00\xff" + name.encode()
    uploaded = client.upload_file(f"{name}.bin", content)
    got = langflow_server.request("GET", f"/api/v2/files/{uploaded.id}")
    assert (got.status_code, got.content) == (200, content)


@pytest.mark.parametrize("unsafe", ["../up.txt", "a/b.txt"])
def test_a_name_that_leads_out_of_the_folder_is_refused(real_langflow: LangflowServer, unsafe: str) -> None:
    refused = real_langflow.request("POST", "/api/v2/files/", files={"file": (unsafe, b"x")})
    assert refused.status_code == 400


@pytest.mark.parametrize("unsafe", ["../up.txt", "a/b.txt"])
def test_a_name_that_leads_out_of_the_folder_is_not_sent(client: LangflowClient, unsafe: str) -> None:
    with pytest.raises(BadRequest, match="Use letters, digits"):
        client.upload_file(unsafe, b"x")


def test_a_flow_reads_a_file_by_the_path_of_its_upload_directly_and_as_a_job(
    client: LangflowClient, reader: str, name: str
) -> None:
    tweaks = {"Reader-1": {"path": client.upload_file(f"{name}.txt", b"the text").path}}
    assert client.run(reader, "Read it.", tweaks=tweaks).answer == "the text"
    job_id = client.submit(reader, "Read it.", idempotency_key=name, tweaks=tweaks)
    assert client.collect(job_id).answer == "the text"
