"""Dagma: Dagster as the control plane for Langflow. What stands in `__all__` is what a project imports."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagma.defs.llm.backend import Backend
    from dagma.defs.llm.backends.function import CallableBackend
    from dagma.defs.llm.backends.langchain import LangChainBackend
    from dagma.defs.llm.call_record import record_calls
    from dagma.defs.llm.failures import CALL_ERRORS, retry_or_fail
    from dagma.defs.llm.metadata import describe_call
    from dagma.defs.llm.request import CallRequest
    from dagma.defs.llm.resources import LangflowRestResource
    from dagma.project import data_folder

__version__ = "0.1.0"
__all__ = [
    "CALL_ERRORS",
    "Backend",
    "CallRequest",
    "CallableBackend",
    "LangChainBackend",
    "LangflowRestResource",
    "data_folder",
    "describe_call",
    "record_calls",
    "retry_or_fail",
]

_MODULES = {
    "CALL_ERRORS": "dagma.defs.llm.failures",
    "Backend": "dagma.defs.llm.backend",
    "CallRequest": "dagma.defs.llm.request",
    "CallableBackend": "dagma.defs.llm.backends.function",
    "LangChainBackend": "dagma.defs.llm.backends.langchain",
    "LangflowRestResource": "dagma.defs.llm.resources",
    "data_folder": "dagma.project",
    "describe_call": "dagma.defs.llm.metadata",
    "record_calls": "dagma.defs.llm.call_record",
    "retry_or_fail": "dagma.defs.llm.failures",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: the command line needs none, and Dagster takes two seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
