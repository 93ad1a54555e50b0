"""The Langflow server that the environment names."""

import time

from dagma.backends.langflow.access_variables import access_from_environment, base_url_from_environment
from dagma.langflow import LangflowClient, ServerError, Timeouts, Unreachable
from dagma.langflow.errors import CallTimeout, MalformedResponse


def langflow_client() -> LangflowClient:
    """Connect to Langflow as the environment says, by a client whose requests take 30 seconds at most.

    Raises:
        SettingError: A variable has a value that can't be used.
    """
    return access_from_environment().connect(
        base_url_from_environment(), timeouts=Timeouts(connect=5.0, read=30.0, total=30.0)
    )


def wait_until_ready(client: LangflowClient, seconds: float) -> None:
    """Wait until Langflow and its database answer, for so many seconds; it takes up to a minute to start.

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
