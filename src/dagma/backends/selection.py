"""The backend that the environment names."""

import inspect

from dagma import environment
from dagma.backends.backend import Backend
from dagma.backends.function import CallableBackend
from dagma.backends.langchain import LangChainBackend
from dagma.backends.langflow.langflow_resource import langflow_from_environment
from dagma.backends.target import load_target


def backend_from_environment() -> Backend:
    """Make the backend that `DAGMA_BACKEND` names.

    `langflow`, the default, is configured by `LANGFLOW_*`. Anything else is `package.module:attribute`: a `Backend`,
    a subclass of it that needs no arguments, a LangChain runnable, or a function.

    Raises:
        SettingError: It names nothing that could answer.
    """
    target = environment.text("DAGMA_BACKEND", default="langflow")
    if target.lower() == "langflow":
        return langflow_from_environment()
    found = load_target(target)
    if isinstance(found, Backend):
        return found
    if inspect.isclass(found):
        if issubclass(found, Backend):
            try:
                return found()
            except (TypeError, ValueError) as error:
                raise environment.SettingError(
                    f"DAGMA_BACKEND is {target!r}, a class that can't be made without arguments: {error}. Name an "
                    "object of it."
                ) from error
    elif callable(getattr(found, "invoke", None)):
        return LangChainBackend(target=target)
    elif callable(found):
        return CallableBackend(target=target)
    raise environment.SettingError(
        f"DAGMA_BACKEND is {target!r}, a {type(found).__name__}. Name a Backend, a LangChain runnable or a function."
    )
