"""Dagma: Dagster as the control plane for Langflow. What stands in `__all__` is what a project imports."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagma.backends.backend import Backend
    from dagma.backends.function import CallableBackend
    from dagma.backends.langchain import LangChainBackend
    from dagma.backends.langflow.langflow_resource import LangflowRestResource, langflow_from_environment
    from dagma.batches.ask_rows import ask_rows
    from dagma.batches.errors import BatchStopped, RowsError
    from dagma.batches.row_result import RowResult
    from dagma.calls.answer import Answer
    from dagma.calls.call_policy import CallPolicy
    from dagma.calls.call_record import describe_attempts, describe_call, record_calls
    from dagma.calls.request import CallRequest, FlowReference
    from dagma.calls.retrying import CALL_ERRORS, retry_or_fail
    from dagma.components.flow_settings import FlowSelection, FlowSettings
    from dagma.components.flow_table import flow_table
    from dagma.components.flow_table_component import FlowTable
    from dagma.components.flows import Flows, flow_assets
    from dagma.components.stored_tables import StoredTable
    from dagma.environment import secret
    from dagma.flows.outline import FlowOutline
    from dagma.langflow import LangflowError
    from dagma.ledger import Usage
    from dagma.project import data_folder
    from dagma.run_config.fixed_resource import FixedResource
    from dagma.run_config.plain_config import PlainConfig

__version__ = "0.1.0"
__all__ = [
    "CALL_ERRORS",
    "Answer",
    "Backend",
    "BatchStopped",
    "CallPolicy",
    "CallRequest",
    "CallableBackend",
    "FixedResource",
    "FlowOutline",
    "FlowReference",
    "FlowSelection",
    "FlowSettings",
    "FlowTable",
    "Flows",
    "LangChainBackend",
    "LangflowError",
    "LangflowRestResource",
    "PlainConfig",
    "RowResult",
    "RowsError",
    "StoredTable",
    "Usage",
    "ask_rows",
    "data_folder",
    "describe_attempts",
    "describe_call",
    "flow_assets",
    "flow_table",
    "langflow_from_environment",
    "record_calls",
    "retry_or_fail",
    "secret",
]

_MODULES = {
    "CALL_ERRORS": "dagma.calls.retrying",
    "Answer": "dagma.calls.answer",
    "Backend": "dagma.backends.backend",
    "BatchStopped": "dagma.batches.errors",
    "CallPolicy": "dagma.calls.call_policy",
    "CallRequest": "dagma.calls.request",
    "CallableBackend": "dagma.backends.function",
    "FixedResource": "dagma.run_config.fixed_resource",
    "FlowTable": "dagma.components.flow_table_component",
    "FlowOutline": "dagma.flows.outline",
    "FlowReference": "dagma.calls.request",
    "FlowSelection": "dagma.components.flow_settings",
    "FlowSettings": "dagma.components.flow_settings",
    "Flows": "dagma.components.flows",
    "LangChainBackend": "dagma.backends.langchain",
    "LangflowError": "dagma.langflow",
    "LangflowRestResource": "dagma.backends.langflow.langflow_resource",
    "PlainConfig": "dagma.run_config.plain_config",
    "RowResult": "dagma.batches.row_result",
    "RowsError": "dagma.batches.errors",
    "StoredTable": "dagma.components.stored_tables",
    "Usage": "dagma.ledger",
    "ask_rows": "dagma.batches.ask_rows",
    "data_folder": "dagma.project",
    "describe_attempts": "dagma.calls.call_record",
    "describe_call": "dagma.calls.call_record",
    "flow_table": "dagma.components.flow_table",
    "flow_assets": "dagma.components.flows",
    "langflow_from_environment": "dagma.backends.langflow.langflow_resource",
    "record_calls": "dagma.calls.call_record",
    "retry_or_fail": "dagma.calls.retrying",
    "secret": "dagma.environment",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: the command line needs none, and Dagster takes two seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Name what can be imported: `dg list components` looks for components among these names."""
    return [*globals(), *__all__]
