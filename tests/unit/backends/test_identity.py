"""Which backends share their answers: those that are the same, and no others of their class."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import dagster as dg
import pytest

from dagma import CallableBackend, LangChainBackend
from dagma.backends.backend import Backend
from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.testing import FakeLangflow

HERE = "unit.backends.examples"


@pytest.fixture(autouse=True)
def ledger(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_LEDGER_URL", ledger_url)


@pytest.fixture
def servers() -> Iterator[list[FakeLangflow]]:
    """Two Langflows whose flows have the same name."""
    with ExitStack() as stack:
        fakes = [stack.enter_context(FakeLangflow()) for _ in range(2)]
        for number, fake in enumerate(fakes):
            fake.add_flow("assistant", lambda call, number=number: f"{call.input_value} from {number}")  # type: ignore[misc]
        yield fakes


def ask_both(first: Backend, second: Backend) -> list[str | None]:
    """Ask two backends the same in one step."""

    @dg.asset
    def asks(one: dg.ResourceParam[Backend], other: dg.ResourceParam[Backend]) -> list[str | None]:
        return [backend.read(backend.run_flow("Hi", flow_id="assistant")).text for backend in (one, other)]

    answers: list[str | None] = dg.materialize([asks], resources={"one": first, "other": second}).output_for_node(
        "asks"
    )
    return answers


@pytest.mark.parametrize(
    ("kind", "targets", "answers"),
    [
        (CallableBackend, ("shout", "murmur"), ["HI!", "hi..."]),
        (LangChainBackend, ("metered_model", "agent"), ["Paris.", "About Hi"]),
    ],
)
def test_two_targets_in_one_step_each_give_their_own_answer(
    kind: Any, targets: tuple[str, str], answers: list[str]
) -> None:
    assert ask_both(*(kind(target=f"{HERE}:{target}") for target in targets)) == answers


def test_two_servers_with_flows_of_the_same_name_each_give_their_own_answer(
    servers: list[FakeLangflow], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, fake in enumerate(servers):
        monkeypatch.setenv(f"KEY_{number}", fake.api_key)
    keys = [dg.EnvVar(f"KEY_{number}") for number in range(len(servers))]
    backends = [
        LangflowRestResource(base_url=fake.base_url, api_key=key) for fake, key in zip(servers, keys, strict=True)
    ]
    assert ask_both(*backends) == ["Hi from 0", "Hi from 1"]


@pytest.mark.parametrize(
    "url", ["http://langflow:7860/", " http://LANGFLOW:7860", "http://user:pa55word@langflow:7860"]
)
def test_a_server_is_the_same_however_its_url_is_written_and_whoever_logs_in(url: str) -> None:
    backend = LangflowRestResource(base_url=url, api_key="another", timeout=1.0)
    assert backend.identity == LangflowRestResource(base_url="http://langflow:7860").identity
    assert "pa55word" not in backend.identity


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("http://bücher.example/Flows/", "langflow http://bücher.example/Flows"),
        ("https://h:8443/a%2fb/./c", "langflow https://h:8443/a%2fb/./c"),
        ("http://[::1]:7860", "langflow http://[::1]:7860"),
    ],
)
def test_a_server_is_known_in_a_ledger_by_its_url_as_it_is_written(url: str, identity: str) -> None:
    assert LangflowRestResource(base_url=url).identity == identity
