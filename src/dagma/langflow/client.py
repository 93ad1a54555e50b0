"""The client of Langflow's API."""

from dagma.langflow.files_api import FilesApi
from dagma.langflow.past_runs_api import PastRunsApi
from dagma.langflow.variables_api import VariablesApi


class LangflowClient(PastRunsApi, VariablesApi, FilesApi):
    """Calls Langflow's API; safe for threads, and a context manager that closes its connections.

    Args:
        base_url: Address of Langflow, or of the gateway in front of it.
        access: Credentials and TLS.
        timeout: Longest time in seconds for an operation: all its attempts, waits and reads. A v1 run says nothing
            until the flow is done, so this bounds the flow as well.
        retry: When to send a request again.
        jobs: How patiently background jobs are watched.
        max_body_bytes: Largest response that is read.

    Raises:
        ValueError: The base URL can't be used, or the proxy or the authorities that the environment names.
    """
