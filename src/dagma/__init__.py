"""Dagma: Dagster as the control plane for Langflow. What stands in `__all__` is what a project imports."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dagma.backends.backend import Backend as Backend
    from dagma.backends.function import CallableBackend as CallableBackend
    from dagma.backends.langchain import LangChainBackend as LangChainBackend
    from dagma.backends.langflow.langflow_resource import LangflowRestResource as LangflowRestResource
    from dagma.backends.langflow.langflow_resource import langflow_from_environment as langflow_from_environment
    from dagma.batches.ask_rows import ask_rows as ask_rows
    from dagma.batches.errors import BatchStopped as BatchStopped
    from dagma.batches.errors import RowsError as RowsError
    from dagma.batches.row_result import RowResult as RowResult
    from dagma.calls.answer import Answer as Answer
    from dagma.calls.call_policy import CallPolicy as CallPolicy
    from dagma.calls.call_record import describe_attempts as describe_attempts
    from dagma.calls.call_record import describe_call as describe_call
    from dagma.calls.call_record import record_calls as record_calls
    from dagma.calls.request import CallRequest as CallRequest
    from dagma.calls.request import FlowReference as FlowReference
    from dagma.calls.retrying import CALL_ERRORS as CALL_ERRORS
    from dagma.calls.retrying import retry_or_fail as retry_or_fail
    from dagma.components.flow_settings import FlowSelection as FlowSelection
    from dagma.components.flow_settings import FlowSettings as FlowSettings
    from dagma.components.flow_table import flow_table as flow_table
    from dagma.components.flow_table_component import FlowTable as FlowTable
    from dagma.components.flows import Flows as Flows
    from dagma.components.flows import flow_assets as flow_assets
    from dagma.components.stored_tables import StoredTable as StoredTable
    from dagma.environment import secret as secret
    from dagma.flows.outline import FlowOutline as FlowOutline
    from dagma.langflow import LangflowError as LangflowError
    from dagma.ledger import Usage as Usage
    from dagma.project import data_folder as data_folder
    from dagma.run_config.fixed_resource import FixedResource as FixedResource

__version__ = "0.1.0"
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
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: the command line needs none, and Dagster takes two seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Name what can be imported: `dg list components` looks for components among these names."""
    return [*globals(), *__all__]
