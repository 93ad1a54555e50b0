"""The conformance suite, on every backend but Langflow: tests/contract runs it on the fake and on a real one."""

import pytest
from unit.backends import examples

from dagma import CallableBackend, LangChainBackend
from dagma.backends.backend import Backend
from dagma.testing.backend_conformance import BackendConformance

HERE = "unit.backends.examples"


class TestCallable(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return CallableBackend(target=f"{HERE}:shout")

    @pytest.fixture
    def failing_backend(self) -> Backend:
        return CallableBackend(target=f"{HERE}:broken")


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
        return examples.Labelling()

    @pytest.fixture
    def failing_backend(self) -> Backend:
        return examples.Broken()
