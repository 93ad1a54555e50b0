"""LangChain as the backend, on the stack's LLM."""

import pytest
from harness.stack import Stack
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from dagma import LangChainBackend
from dagma.backends.backend import Backend
from dagma.testing.backend_conformance import BackendConformance, asked

# What the backends' targets name; the fixture fills them in, since the LLM's address is known only then.
MODELS: dict[str, BaseChatModel] = {}


def __getattr__(name: str) -> BaseChatModel:
    try:
        return MODELS[name]
    except KeyError:
        raise AttributeError(name) from None


@pytest.fixture(scope="module", autouse=True)
def models(stack: Stack) -> None:
    """Models on the stack's LLM. It is published nowhere: it is reached over the bridge that its host is part of."""
    networks = stack.inspect(stack.container("llm"))["NetworkSettings"]["Networks"]
    (address,) = {network["IPAddress"] for network in networks.values()}
    url = f"http://{address}:8080/v1"
    MODELS["llm"] = ChatOpenAI(base_url=url, api_key="none", model="smollm2-135m", max_tokens=20, temperature=0)
    MODELS["unserved"] = ChatOpenAI(base_url=f"{url}/nothing", api_key="none", model="none", max_retries=0)


class TestLangChainOnTheStack(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return LangChainBackend(target=f"{__name__}:llm")

    @pytest.fixture
    def failing_backend(self) -> Backend:
        return LangChainBackend(target=f"{__name__}:unserved")

    def test_the_models_tokens_are_metered(self, backend: Backend) -> None:
        call = asked(lambda: backend.run_flow("What is the capital of France?")).call
        (usage,) = call.answer.usages
        assert usage.input_tokens
        assert usage.output_tokens
        assert usage.total == usage.input_tokens + usage.output_tokens
