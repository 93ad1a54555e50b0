"""Langflow's address, and credentials and TLS towards it, as the environment names them; and a client of these."""

import re
from dataclasses import fields

from dagma import environment
from dagma.langflow import Access, LangflowClient
from dagma.langflow.http.connection_settings import checked_base_url

DEFAULT_BASE_URL = "http://127.0.0.1:7860"


def _variables(*holding: str) -> dict[str, str]:
    """List the variables of the settings that hold this, by setting."""
    return {
        setting.name: setting.metadata["variable"] for setting in fields(Access) if setting.metadata["holds"] in holding
    }


# Keys: a resource takes them as EnvVars only.
KEY_VARIABLES = _variables("key")
# What is secret, or may be: Dagster is given the variable's name, never its value.
SECRET_VARIABLES = _variables("key", "private")
FILE_VARIABLES = _variables("file")
_ALL_VARIABLES = _variables("key", "private", "file", "switch")


def base_url_from_environment() -> str:
    """Read where Langflow is; a SettingError if nothing can be called there."""
    url = environment.text("LANGFLOW_BASE_URL", DEFAULT_BASE_URL)
    login = f"set {SECRET_VARIABLES['basic_user']} and {SECRET_VARIABLES['basic_password']}"
    try:
        return checked_base_url("LANGFLOW_BASE_URL", url, login=login)
    except ValueError as error:
        raise environment.SettingError(str(error)) from None


def access_from_environment() -> Access:
    """Read credentials and TLS; a SettingError names the variables that can't be used."""
    values = {name: environment.text(variable) for name, variable in {**SECRET_VARIABLES, **FILE_VARIABLES}.items()}
    verify_tls = environment.flag("LANGFLOW_VERIFY_TLS", default=True)
    try:
        return Access(verify_tls=verify_tls, **values)
    except ValueError as error:
        raise environment.SettingError(_with_variables(str(error))) from None


def langflow_client(seconds: float = 300.0) -> LangflowClient:
    """Connect to Langflow as the environment says; each request may take so many seconds.

    Raises:
        SettingError: A variable has a value that can't be used.
    """
    access, base_url = access_from_environment(), base_url_from_environment()
    try:
        return LangflowClient(base_url, access, timeout=seconds)
    except ValueError as error:
        # The environment's proxy, or its authorities.
        raise environment.SettingError(str(error)) from None


def _with_variables(message: str) -> str:
    """Say variables where a message says fields: whoever reads it has set those. Files may be named like fields."""
    return re.sub(r"[\w/.-]*\w", lambda match: _ALL_VARIABLES.get(match[0], match[0]), message)
