"""Functions and runnables that tests name as backends."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import dagster as dg
from langchain_core.language_models import FakeListChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from dagma import Answer, Backend, CallRequest
from dagma.calls.call_backend import Answered, Finding
from dagma.langflow import RateLimited
from dagma.ledger import Begun


def shout(request: CallRequest) -> str:
    return f"{request.input_value.upper()}!"


def murmur(request: CallRequest) -> str:
    return f"{request.input_value.lower()}..."


def metered(request: CallRequest) -> Mapping[str, Any]:
    usage = {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100}
    return {"text": f"In {request.session_id}.", "session_id": request.session_id, "usage": usage}


def numbering(request: CallRequest) -> Mapping[str, Any]:
    return {"text": request.input_value, "session_id": 7}


def broken(request: CallRequest) -> str:
    raise KeyError(request.flow_id)


def silent(request: CallRequest) -> None:
    return None


class NeedsAddress(Backend):
    url: str

    def answer(self, request: CallRequest) -> dict[str, Any]:
        return {"text": f"{request.input_value} at {self.url}"}


class Shouting(Backend):
    """The example of the contract's docstring."""

    def answer(self, request: CallRequest) -> dict[str, Any]:
        return {"text": request.input_value.upper()}

    def default_flow(self) -> str:
        return "shouting"


class Keyed(Shouting):
    key: str

    def answer(self, request: CallRequest) -> dict[str, Any]:
        return {"text": f"{request.input_value} with {self.key}"}


class Broken(Shouting):
    def answer(self, request: CallRequest) -> dict[str, Any]:
        raise ConnectionError(f"no answer to {request.input_value}")


class Labelling(Shouting):
    """Answers with data."""

    def answer(self, request: CallRequest) -> dict[str, Any]:
        return {"label": request.input_value}

    def read(self, response: Mapping[str, Any]) -> Answer:
        return Answer(text=None, outputs={"label": response["label"]})


class Forgetful(Labelling):
    """Loses its answers, and finds them again."""

    def answer(self, request: CallRequest) -> dict[str, Any]:
        raise ConnectionError(f"no answer to {request.input_value}")

    def find_outcome(self, request: CallRequest, begun: Begun) -> Finding:  # noqa: ARG002
        return Answered({"label": "yes", "of": ["much", "else", "that", "is", "no", "answer"]})


class ProviderError(Exception):
    """Carries an HTTP status, as the errors of model providers' clients do."""

    def __init__(self, status_code: int, **headers: str) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code
        self.response = SimpleNamespace(headers={name.replace("_", "-"): value for name, value in headers.items()})


class HTTPStatusError(Exception):
    """Carries a response, as the HTTP client below a provider's client raises it."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.response = SimpleNamespace(status_code=status_code, headers={})


class RemoteProtocolError(Exception):
    """Breaks off, as the HTTP client below a provider's client says it."""


def refuse(_: Any) -> str:
    raise ProviderError(429)


def limit(_: Any) -> str:
    raise RateLimited("Too many searches.")


def reply(tokens: int) -> AIMessage:
    return AIMessage(
        content="Paris.",
        response_metadata={"model_name": "gpt-4o"},
        usage_metadata={"input_tokens": tokens, "output_tokens": 2, "total_tokens": tokens + 2},
    )


class Agent:
    """Gives its state, and streams what each of its steps adds to that."""

    def invoke(self, text: str, _: Any) -> dict[str, Any]:
        return {"messages": [AIMessage(content=[{"type": "text", "text": f"About {text}"}])]}

    def stream(self, text: str, config: Any) -> Iterator[dict[str, Any]]:
        yield {"model": self.invoke("a tool", config)}
        yield {"model": self.invoke(text, config)}


def endless_replies() -> Any:
    while True:
        yield reply(7)


chat_model = FakeListChatModel(responses=["Paris.", "It is Paris.", "Paris, again."])
metered_model = GenericFakeChatModel(messages=endless_replies())
chain = ChatPromptTemplate.from_messages([("human", "Answer shortly: {question}")]) | metered_model | StrOutputParser()
numbering_chain = metered_model | RunnableLambda(lambda _: {"n": 1})
limited_chain = metered_model | RunnableLambda(limit)
agent = Agent()
configured = RunnableLambda(lambda _, config: str(sorted(config["configurable"].items())))
numbers = RunnableLambda(lambda _: 42)
refusing = RunnableLambda(refuse)
refused_midway = metered_model | refusing
keyed = Keyed(key=dg.EnvVar("MODEL_KEY"))
not_a_backend = 42
