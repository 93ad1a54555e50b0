"""The resources of every definition here: what answers calls, and where Dagster keeps what assets return."""

from typing import Any

from dagma.backends.langflow.langflow_resource import LangflowRestResource, langflow_from_environment
from dagma.backends.selection import backend_from_environment
from dagma.execution.stored_values import stored_values

__all__ = ["LangflowRestResource", "langflow_from_environment", "resources_from_environment"]


def resources_from_environment() -> dict[str, Any]:
    """Make the resources `backend` and `io_manager`. `DAGMA_BACKEND` names another backend; nothing else changes."""
    return {"backend": backend_from_environment(), "io_manager": stored_values}
