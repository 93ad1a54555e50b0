"""Why an LLM could not be asked, in the words of the real Langflow 1.13, and the fix that the error names."""

import time

import pytest

from dagma.langflow import FlowFailed, LangflowClient
from dagma.langflow.known_failures import fix_for
from dagma.testing import ComponentFailed, FakeCall, FakeLangflow

KEY = (
    "Error code: 401 - {'error': {'message': 'Incorrect API key provided: bad***. You can find your API key at "
    "https://platform.openai.com/account/api-keys.', 'type': 'invalid_request_error', 'param': None, "
    "'code': 'invalid_api_key'}}"
)
BLOCKED_NAME = (
    "SSRF Protection: Hostname my-llm resolves to blocked IP address(es): 172.21.0.8. To allow this hostname, add it "
    "to LANGFLOW_SSRF_ALLOWED_HOSTS environment variable."
)
BLOCKED_ADDRESS = BLOCKED_NAME.replace("my-llm", "10.0.0.1").replace("172.21.0.8", "10.0.0.1")
NO_HOST = "SSRF Protection: DNS resolution failed for nosuchhost.invalid: [Errno -2] Name or service not known"
NO_MODEL = (
    "A model selection is required",
    "No model selected. Please select a language model from the available options.",
    'Error running method "text_response": Model name/provider overrides require a built-in model selection, not a '
    "connected model object.",
)
UNKNOWN_MODEL = (
    "Error code: 404 - {'error': {'message': 'The model `gpt-9` does not exist.', 'code': 'model_not_found'}}"
)
NO_CREDIT = (
    "Error code: 429 - {'error': {'message': 'You exceeded your current quota, please check your plan and billing "
    "details.', 'type': 'insufficient_quota', 'param': None, 'code': 'insufficient_quota'}}"
)
FIXES = {
    KEY: "LLM_API_KEY",
    BLOCKED_NAME: "add my-llm to LANGFLOW_SSRF_ALLOWED_HOSTS",
    BLOCKED_ADDRESS: "add 10.0.0.1 to LANGFLOW_SSRF_ALLOWED_HOSTS",
    NO_HOST: "LLM_BASE_URL",
    "Connection error.": "LLM_BASE_URL",
    UNKNOWN_MODEL: "LLM_MODEL",
    **dict.fromkeys(NO_MODEL, "it may never have been saved"),
}


@pytest.mark.parametrize("as_a_job", [False, True], ids=["direct", "job"])
@pytest.mark.parametrize("said", FIXES, ids=list(range(len(FIXES))))
def test_a_failed_flow_names_the_fix(
    fake_langflow: FakeLangflow, client: LangflowClient, said: str, as_a_job: bool
) -> None:
    def fail(_: FakeCall) -> str:
        raise ComponentFailed("Language Model", said)

    flow = fake_langflow.add_flow("assistant", fail)
    call = (lambda: client.collect(client.submit(flow, "hello"))) if as_a_job else lambda: client.run(flow, "hello")
    with pytest.raises(FlowFailed) as caught:
        call()
    assert FIXES[said] in caught.value.fix
    assert "run the component there" not in str(caught.value)
    assert caught.value.component == "Language Model"


@pytest.mark.parametrize("said", [KEY, BLOCKED_NAME, NO_HOST, NO_CREDIT, *NO_MODEL])
def test_what_somebody_has_to_fix_is_not_retried(
    fake_langflow: FakeLangflow, client: LangflowClient, said: str
) -> None:
    def fail(_: FakeCall) -> str:
        raise ComponentFailed("Language Model", said)

    with pytest.raises(FlowFailed) as caught:
        client.run(fake_langflow.add_flow("assistant", fail), "hello")
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "said", ["no luck today", "It says: Connection error. Or not.", "404 apples", "Please select a model railway"]
)
def test_what_is_not_known_keeps_the_usual_fix(said: str) -> None:
    assert fix_for(said) is None


def test_a_long_text_takes_no_more_than_its_length() -> None:
    started = time.monotonic()
    for text in ("error code: 404 ", "\n", "connection error", "hostname "):
        fix_for(text * 100_000)
    assert time.monotonic() - started < 30.0  # the square of its length would take hours
