"""Outputs that are no text: data and tables, which Langflow gives in other places than messages."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from contract.conftest import LangflowServer, flow_named

from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.langflow import Access, CompletedWithoutOutput, LangflowClient

ROWS = [{"word": "one", "letters": 3}, {"word": "three", "letters": 5}]
GIVEN = {"data": {"letters": {"one": 3, "three": 5}}, "table": ROWS}


@pytest.fixture(scope="module")
def client(real_langflow: LangflowServer) -> Iterator[LangflowClient]:
    with LangflowClient(real_langflow.base_url, Access(api_key=real_langflow.api_key)) as client:
        yield client


@pytest.fixture(scope="module", params=["data", "table"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def flow_id(client: LangflowClient, kind: str) -> Iterator[str]:
    flow_id = str(uuid4())
    client.upsert_flow(flow_named(kind, flow_id))
    yield flow_id
    client.delete_flow(flow_id)


def test_a_direct_run_gives_them_where_every_component_is_asked_for(
    client: LangflowClient, flow_id: str, kind: str
) -> None:
    result = client.run(flow_id, "one three", output_type="debug")
    assert (result.answer, result.outputs) == (None, {"Records-1": GIVEN[kind]})
    *_, end = client.stream(flow_id, "one three", output_type="debug")
    assert end.result is not None
    assert end.result.outputs == result.outputs


def test_a_direct_run_that_asks_for_chat_gets_nothing_and_is_told_what_to_ask_for(
    client: LangflowClient, flow_id: str
) -> None:
    with pytest.raises(CompletedWithoutOutput, match="output_type='debug'"):
        client.run(flow_id, "one three")


def test_a_job_gives_them(client: LangflowClient, flow_id: str, kind: str) -> None:
    result = client.collect(client.submit(flow_id, "one three"))
    assert (result.answer, result.outputs) == (None, {"Records-1": GIVEN[kind]})


def test_a_run_that_is_found_again_gives_them(client: LangflowClient, flow_id: str, kind: str) -> None:
    session = f"call-{uuid4().hex}"
    client.run(flow_id, "one three", output_type="debug", session_id=session)
    (run,) = client.past_runs(session, flow_id=flow_id)
    assert client.past_answer(run).outputs == {"Records-1": GIVEN[kind]}


@pytest.mark.parametrize("mode", ["direct", "job"])
def test_an_answer_has_them(
    real_langflow: LangflowServer, flow_id: str, kind: str, mode: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGMA_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    backend = LangflowRestResource(
        base_url=real_langflow.base_url, api_key=real_langflow.api_key, default_flow_id=flow_id, mode=mode
    )
    response = backend.run_flow("one three", output_type="debug" if mode == "direct" else "chat")
    answer = backend.read(response)
    assert (answer.text, answer.outputs) == (None, {"Records-1": GIVEN[kind]})
