"""The conformance suite, on every backend that comes with Dagma."""

from collections.abc import Iterator

import dagster as dg
import pytest
from unit.backends import examples

from dagma import CallableBackend, LangChainBackend
from dagma.backends.backend import Backend
from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.testing import FakeLangflow
from dagma.testing.backend_conformance import BackendConformance

HERE = "unit.backends.examples"


class TestLangflow(BackendConformance):
    @pytest.fixture
    def langflow(self) -> Iterator[FakeLangflow]:
        with FakeLangflow() as fake:
            fake.add_flow("assistant")
            yield fake

    @pytest.fixture
    def backend(self, langflow: FakeLangflow, monkeypatch: pytest.MonkeyPatch) -> Backend:
        monkeypatch.setenv("THE_KEY", langflow.api_key)
        return LangflowRestResource(
            base_url=langflow.base_url, api_key=dg.EnvVar("THE_KEY"), default_flow_id="assistant", mode="direct"
        )

    @pytest.fixture
    def failing_backend(self, langflow: FakeLangflow, monkeypatch: pytest.MonkeyPatch) -> Backend:
        monkeypatch.setenv("A_WRONG_KEY", "wrong")
        return LangflowRestResource(
            base_url=langflow.base_url, api_key=dg.EnvVar("A_WRONG_KEY"), default_flow_id="assistant"
        )


class TestCallable(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return CallableBackend.of(examples.shout)

    @pytest.fixture
    def failing_backend(self) -> Backend:
        return CallableBackend.of(examples.broken)


class TestLangChain(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return LangChainBackend(target=f"{HERE}:chat_model")

    @pytest.fixture
    def failing_backend(self) -> Backend:
        return LangChainBackend(target=f"{HERE}:refusing")


class TestBackendOfOnesOwn(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return examples.Shouting()

    @pytest.fixture
    def failing_backend(self) -> Backend:
        return examples.Broken()
