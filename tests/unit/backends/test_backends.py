"""What is particular to each backend, and how one is chosen."""

import sys
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from unit.backends import examples

from dagma import CallableBackend, CallRequest, FlowReference, LangChainBackend, ask_rows, record_calls
from dagma.backends.backend import Backend
from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.backends.selection import backend_from_environment
from dagma.calls.call_backend import BackendError
from dagma.calls.retrying import is_free_to_retry
from dagma.environment import SettingError
from dagma.langflow import BadRequest, Forbidden, LangflowError, MalformedResponse, RateLimited, Unauthorized
from dagma.ledger import LedgerSettings, Usage
from dagma.ledger.reports import all_calls

HERE = "unit.backends.examples"


@pytest.fixture(autouse=True)
def ledger(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_LEDGER_URL", ledger_url)


def test_a_function_tells_session_and_usage() -> None:
    backend = CallableBackend(target=f"{HERE}:metered")
    answer = backend.read(backend.run_flow("hi", session_id="s-1"))
    assert (answer.text, answer.session_id) == ("In s-1.", "s-1")
    assert answer.usages == (Usage(model="gpt-4o", input_tokens=1000, output_tokens=100),)
    assert answer.usages[0].total == 1100


def test_a_session_that_is_a_number_loses_no_answer() -> None:
    backend = CallableBackend(target=f"{HERE}:numbering")
    answer = backend.read(backend.run_flow("hi"))
    assert (answer.text, answer.session_id) == ("hi", "7")


def test_a_function_that_raises_has_failed_for_certain() -> None:
    with pytest.raises(BackendError, match="KeyError") as caught:
        CallableBackend(target=f"{HERE}:broken").run_flow("hi")
    assert caught.value.outcome == "failed"


def test_a_function_that_gives_nothing_is_an_error_and_no_answer() -> None:
    with pytest.raises(MalformedResponse, match="silent returned a NoneType"):
        CallableBackend(target=f"{HERE}:silent").run_flow("hi")


def test_a_chat_models_tokens_are_metered() -> None:
    backend = LangChainBackend(target=f"{HERE}:metered_model")
    answer = backend.read(backend.run_flow("hi", session_id="s-1"))
    assert (answer.text, answer.session_id) == ("Paris.", "s-1")
    assert answer.usages == (Usage(model="gpt-4o", input_tokens=7, output_tokens=2, total_tokens=9),)


def test_a_chain_that_ends_in_text_is_metered_too_and_takes_its_input_by_name() -> None:
    backend = LangChainBackend(target=f"{HERE}:chain", input_key="question")
    answer = backend.read(backend.run_flow("hi"))
    assert (answer.text, answer.usages[0].total) == ("Paris.", 9)
    assert backend.default_flow() == "chain"


@pytest.mark.parametrize("stream", [False, True])
def test_an_agents_last_message_is_its_answer(stream: bool) -> None:
    backend = LangChainBackend(target=f"{HERE}:agent")
    assert backend.read(backend.run_flow("Paris", stream=stream)).text == "About Paris"


def test_session_and_tweaks_are_configurable_fields() -> None:
    backend = LangChainBackend(target=f"{HERE}:configured")
    answer = backend.read(backend.run_flow("hi", session_id="s-1", tweaks={"llm": "small"}))
    assert answer.text == "[('llm', 'small'), ('session_id', 's-1')]"


def test_a_runnable_without_text_is_an_error() -> None:
    with pytest.raises(BackendError, match="Input should be a valid string") as caught:
        LangChainBackend(target=f"{HERE}:numbers").run_flow("hi")
    assert caught.value.outcome == "failed"


@pytest.mark.parametrize(
    ("error", "kind", "outcome", "retryable"),
    [
        (examples.ProviderError(401), Unauthorized, "not_run", False),
        (examples.ProviderError(403), Forbidden, "not_run", False),
        (examples.ProviderError(422), BadRequest, "not_run", False),
        (examples.ProviderError(429), RateLimited, "not_run", True),
        (examples.HTTPStatusError(429), RateLimited, "not_run", True),
        (examples.ProviderError(408), BackendError, "unknown", False),
        (examples.ProviderError(503), BackendError, "unknown", False),
        (TimeoutError("too late"), BackendError, "unknown", False),
        (ConnectionResetError("gone"), BackendError, "unknown", False),
        (examples.RemoteProtocolError("It hung up."), BackendError, "unknown", False),
        (ValueError("a bug in the chain"), BackendError, "failed", False),
        (ImportError("no such package"), BackendError, "failed", False),
        (OutputParserException("no list"), BackendError, "failed", False),
    ],
)
def test_errors_of_providers_are_told_apart(
    error: Exception, kind: type[LangflowError], outcome: str, retryable: bool
) -> None:
    explained = LangChainBackend(target=f"{HERE}:chain").explain(error)
    assert type(explained) is kind
    assert (explained.outcome, explained.retryable) == (outcome, retryable)
    assert type(error).__name__ in explained.cause
    assert not explained.cause.endswith("..")


def test_a_provider_that_asks_to_wait_is_waited_for() -> None:
    refused = examples.ProviderError(429, Retry_After="7")
    assert LangChainBackend(target=f"{HERE}:chain").explain(refused).retry_after == 7.0


def test_a_chain_that_is_refused_midway_is_not_free_to_retry_and_metered() -> None:
    with pytest.raises(RateLimited) as caught:
        LangChainBackend(target=f"{HERE}:refused_midway").run_flow("hi")
    assert caught.value.outcome == "failed"
    assert not is_free_to_retry(caught.value)
    (row,) = all_calls(LedgerSettings.from_environment().open().database)
    assert (row["state"], row["model"], row["total_tokens"]) == ("failed", "gpt-4o", 9)


@pytest.mark.parametrize("mode", ["direct", "auto", None])
def test_a_backend_without_jobs_calls_directly(mode: Any) -> None:
    assert examples.Shouting().run_flow("hi", mode=mode) == {"text": "HI"}


def test_a_backend_without_jobs_refuses_the_mode_job() -> None:
    with pytest.raises(BadRequest, match="Shouting has no jobs"):
        examples.Shouting().run_flow("hi", mode="job")


@pytest.mark.parametrize("choices", [{"input_value": 5}, {"flow_id": 5}, {"mode": "batch"}, {"on_unknown": "retry"}])
def test_a_call_that_can_not_be_meant_is_refused_by_name(choices: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=f"^{next(iter(choices))} must be "):
        examples.Shouting().run_flow(**{"input_value": "hi", **choices})


def test_a_flow_that_was_looked_up_is_the_one_that_is_asked() -> None:
    with record_calls() as calls:
        examples.Shouting().run_flow("hi", flow=FlowReference("another"))
    assert calls.answered[0].request.flow_id == "another"


def test_row_and_session_may_be_numbers() -> None:
    with record_calls() as calls:
        examples.Shouting().run_flow("hi", row=7, session_id=0)  # type: ignore[arg-type]
    (call,) = calls.answered
    assert (call.request.row, call.request.session_id) == ("7", "0")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("langflow", LangflowRestResource),
        ("", LangflowRestResource),
        (f"{HERE}:shout", CallableBackend),
        (f"{HERE}:chain", LangChainBackend),
        (f"{HERE}:Shouting", examples.Shouting),
    ],
)
def test_one_setting_chooses_the_backend(monkeypatch: pytest.MonkeyPatch, target: str, kind: type[Backend]) -> None:
    monkeypatch.setenv("DAGMA_BACKEND", target)
    assert type(backend_from_environment()) is kind


def test_rows_are_asked_with_the_values_of_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGMA_BACKEND", f"{HERE}:keyed")
    monkeypatch.setenv("MODEL_KEY", "a key")
    (result,) = ask_rows([{"id": 1}], key="id", input="hi")
    assert result.output == {"answer": "hi with a key"}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("shout", "package.module:attribute"),
        (f"{HERE}.shout", "package.module:attribute"),
        (f"{HERE}:", "package.module:attribute"),
        ("no_such_module:shout", "can't be imported"),
        (f"{HERE}:whisper", "whisper"),
        (f"{HERE}:not_a_backend", "a int"),
        (
            f"{HERE}:NeedsAddress",
            "NeedsAddress', a class that can't be made without arguments: (.|\n)*url(.|\n)*Name an object",
        ),
        (f"{HERE}:Backend", "Backend', a class that can't be made without arguments: .*abstract"),
    ],
)
def test_a_setting_that_names_no_backend_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, target: str, reason: str
) -> None:
    monkeypatch.setenv("DAGMA_BACKEND", target)
    with pytest.raises(SettingError, match=reason):
        backend_from_environment()


def test_data_that_is_found_later_is_estimated_as_long_as_it_is() -> None:
    examples.Forgetful().run_flow("hi")
    (row,) = all_calls(LedgerSettings.from_environment().open().database)
    assert (row["state"], row["estimated_tokens"]) == ("answered", 2)


def test_a_backend_that_finds_nothing_out_leaves_the_call_unknown() -> None:
    asked_once = iter([None])

    class Speechless(examples.Broken):
        def find_outcome(self, *_: Any) -> Any:
            return next(asked_once)

    with pytest.raises(BackendError, match=r"What Speechless found out is a NoneType\. To send it again, run"):
        Speechless().run_flow("hi")
    (row,) = all_calls(LedgerSettings.from_environment().open().database)
    assert row["state"] == "unknown"


class Odd(Backend):
    """Gives what it is told to, which is no answer."""

    _gives: Any = None

    def answer(self, request: CallRequest) -> Any:  # noqa: ARG002
        return self._gives

    def default_flow(self) -> str:
        return "odd"


@pytest.mark.parametrize("given", [None, "x", {"text": b"x"}, {"said": "x"}, [1]])
def test_what_no_answer_can_be_read_of_has_failed_and_is_sent_again(given: Any) -> None:
    backend = Odd()
    backend._gives = given
    for _ in range(2):
        with pytest.raises(MalformedResponse) as caught:
            backend.run_flow("hi")
        assert caught.value.outcome == "failed"
    assert "unknown" not in {row["state"] for row in all_calls(LedgerSettings.from_environment().open().database)}


def test_a_read_that_gives_no_answer_fails_the_call_for_certain() -> None:
    class Careless(Odd):
        def read(self, response: Any) -> Any:
            return response["text"]

    backend = Careless()
    backend._gives = {"text": "x"}
    with pytest.raises(MalformedResponse, match=r"TypeError: read\(\) returned a str instead of an Answer\.") as caught:
        backend.run_flow("hi")
    assert caught.value.outcome == "failed"


def test_an_answer_that_cannot_be_read_is_not_quoted_where_no_texts_are_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Quoting(Odd):
        def read(self, response: Any) -> Any:  # noqa: ARG002
            raise KeyError("what the customer said")

    monkeypatch.setenv("DAGMA_RECORD_TEXTS", "none")
    with pytest.raises(MalformedResponse) as caught:
        Quoting().run_flow("hi")
    assert "customer" not in str(caught.value)


@pytest.mark.parametrize("name", ["numbering_chain", "limited_chain"])
def test_tokens_of_a_chain_that_ends_in_an_error_are_metered(name: str) -> None:
    with pytest.raises(LangflowError) as caught:
        LangChainBackend(target=f"{HERE}:{name}").run_flow("hi")
    assert caught.value.outcome == "failed", "its model was paid"
    (row,) = all_calls(LedgerSettings.from_environment().open().database)
    assert (row["state"], row["total_tokens"]) == ("failed", 9)


def test_a_target_that_is_not_there_is_told_before_langchain_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_core.callbacks", None)
    with pytest.raises(LangflowError, match=r"project/requirements\.txt"):
        LangChainBackend(target="nowhere.chains:qa").run_flow("hi")
