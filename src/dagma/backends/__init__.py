"""Backends to choose from; `DAGMA_BACKEND` names the one that answers."""

from dagma.backends.function import CallableBackend
from dagma.backends.langchain import LangChainBackend
from dagma.backends.selection import backend_from_environment

__all__ = ["CallableBackend", "LangChainBackend", "backend_from_environment"]
