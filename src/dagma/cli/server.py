"""The Langflow server that the environment names."""

import time

from dagma import environment
from dagma.langflow import TLS, ApiKey, LangflowClient, ServerError, Timeouts, Unreachable
from dagma.langflow.errors import CallTimeout, MalformedResponse

DEFAULT_URL = "http://127.0.0.1:7860"


def langflow_client() -> LangflowClient:
    """Connect to Langflow as `LANGFLOW_BASE_URL`, `_API_KEY`, `_VERIFY_TLS` and `_CA_BUNDLE` say.

    Returns:
        A client whose requests take 30 seconds at most.

    Raises:
        SettingError: A variable has a value that can't be used.
    """
    key = environment.text("LANGFLOW_API_KEY")
    return LangflowClient(
        environment.text("LANGFLOW_BASE_URL", DEFAULT_URL),
        auth=ApiKey(key) if key else None,
        timeouts=Timeouts(connect=5.0, read=30.0, total=30.0),
        tls=TLS(
            verify=environment.flag("LANGFLOW_VERIFY_TLS", default=True),
            ca_bundle=environment.text("LANGFLOW_CA_BUNDLE"),
        ),
    )


def wait_until_ready(client: LangflowClient, seconds: float) -> None:
    """Wait until Langflow and its database answer; it takes up to a minute to start.

    Args:
        client: The server.
        seconds: How long to wait.

    Raises:
        LangflowError: It is not ready in time, or refuses for good.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.health_check()
        except (CallTimeout, MalformedResponse, ServerError, Unreachable):
            if time.monotonic() >= deadline:
                raise
            time.sleep(1.0)
        else:
            return
