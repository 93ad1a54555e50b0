"""Flows as code: the files of `flows/`, and their way to and from a Langflow server."""

ASSISTANT = "da90a000-0000-4000-8000-000000000001"
"""Id of the flow in flows/assistant.json."""
