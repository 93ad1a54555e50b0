"""The client of Langflow's API."""

from dagma.langflow.files_api import FilesApi
from dagma.langflow.past_runs_api import PastRunsApi
from dagma.langflow.variables_api import VariablesApi


class LangflowClient(PastRunsApi, VariablesApi, FilesApi):
    """Calls Langflow's API; safe for threads, and a context manager that closes its connections.

    Args:
        base_url: Address of Langflow, or of the gateway in front of it.
        auth: Proof of identity: one, or several for a gateway and Langflow behind it.
        headers: More headers for every request, for a gateway; their values are kept out of errors.
        timeouts: Time-outs in seconds.
        retry: When to send a request again.
        jobs: How patiently background jobs are watched.
        tls: Trust and identity.
        max_body_bytes: Largest response that is read.
    """
