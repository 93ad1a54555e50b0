"""What becomes of a flow whose caller gives up, on the shipped Langflow: the trap that makes a direct call dear."""

import uuid

import pytest
import requests
from harness.stack import Stack, wait_until
from stack.conftest import sleeping

from dagma.langflow import CallTimeout, LangflowClient

FLOW_SECONDS = 4.0


def answers(stack: Stack, session_id: str) -> list[str]:
    """The answers that Langflow keeps of a session."""
    response = requests.get(
        f"{stack.langflow_url}/api/v1/monitor/messages",
        params={"session_id": session_id},
        headers={"x-api-key": stack.settings["LANGFLOW_API_KEY"]},
        timeout=30,
    )
    response.raise_for_status()
    return [message["text"] for message in response.json() if message["sender"] == "Machine"]


def test_a_run_that_is_given_up_goes_on_to_its_end(stack: Stack, langflow: LangflowClient, behave: str) -> None:
    session_id = f"given-up-{uuid.uuid4()}"
    with pytest.raises(CallTimeout) as caught:
        langflow.run(behave, "hello", tweaks=sleeping(FLOW_SECONDS), session_id=session_id, timeout=2.0)

    assert caught.value.outcome == "unknown"
    assert answers(stack, session_id) == []
    wait_until("the answer that nobody waits for", lambda: answers(stack, session_id) == ["hello"], seconds=60)


def test_a_stream_that_is_broken_off_stops_its_flow(stack: Stack, langflow: LangflowClient, behave: str) -> None:
    whole, broken = f"whole-{uuid.uuid4()}", f"broken-off-{uuid.uuid4()}"
    events = langflow.stream(behave, "hello", tweaks=sleeping(FLOW_SECONDS), session_id=broken)
    next(events)
    events.close()
    # The same flow, begun later and not broken off, ends after the other one would have.
    list(langflow.stream(behave, "hello", tweaks=sleeping(FLOW_SECONDS + 2), session_id=whole))

    assert answers(stack, whole) == ["hello"]
    assert answers(stack, broken) == []
