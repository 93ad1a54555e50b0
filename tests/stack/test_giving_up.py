"""What becomes of a stream whose caller breaks off, on the shipped Langflow."""

import uuid

import requests
from harness.stack import Stack
from stack.conftest import sleeping

from dagma.langflow import LangflowClient

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


def test_a_stream_that_is_broken_off_stops_its_flow(stack: Stack, langflow: LangflowClient, behave: str) -> None:
    whole, broken = f"whole-{uuid.uuid4()}", f"broken-off-{uuid.uuid4()}"
    events = langflow.stream(behave, "hello", tweaks=sleeping(FLOW_SECONDS), session_id=broken)
    next(events)
    events.close()
    # The same flow, begun later and not broken off, ends after the other one would have.
    list(langflow.stream(behave, "hello", tweaks=sleeping(FLOW_SECONDS + 2), session_id=whole))

    assert answers(stack, whole) == ["hello"]
    assert answers(stack, broken) == []
