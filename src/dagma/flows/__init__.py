"""Flows as code: the files of `flows/`, and their way to and from a Langflow server."""
