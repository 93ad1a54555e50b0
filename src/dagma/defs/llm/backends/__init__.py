"""Backends to choose from; `DAGMA_BACKEND` names the one that answers."""

from dagma.defs.llm.backends.function import CallableBackend
from dagma.defs.llm.backends.langchain import LangChainBackend
from dagma.defs.llm.backends.selection import backend_from_environment

__all__ = ["CallableBackend", "LangChainBackend", "backend_from_environment"]
