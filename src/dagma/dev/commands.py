"""How each process is started: its command line and its environment."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from dagma.dev.settings import ASSISTANT, Settings

# Nothing looked up or sent at start, and nothing loaded that flows don't use.
_LANGFLOW_QUIET = {
    "DO_NOT_TRACK": "true",
    "LANGFLOW_AGENTIC_EXPERIENCE": "false",
    "LANGFLOW_CREATE_STARTER_PROJECTS": "false",
    "LANGFLOW_MCP_COMPOSER_ENABLED": "false",
    "LANGFLOW_MODELS_DEV_REFRESH": "false",
    "LANGFLOW_OPEN_BROWSER": "false",
    "LANGFLOW_SKIP_MCP_AUTO_INIT": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}

DAGSTER_INSTANCE = """\
# Written by `make dev`. Runs, schedules and logs stay in this folder, on SQLite.
telemetry:
  enabled: false
"""


def llm(settings: Settings, python: Path) -> tuple[list[str], dict[str, str]]:
    """Start the local LLM.

    Args:
        settings: The settings.
        python: Python of its environment.

    Returns:
        Command and environment.
    """
    command = [str(python), str(settings.root / "docker" / "llm" / "server.py")]
    environment = {"LLM_HOST": "127.0.0.1", "LLM_PORT": str(settings.llm_port), "LLM_MODEL": settings.llm_model}
    return command, _inherited(environment)


def langflow(settings: Settings, python: Path, key: str | None) -> tuple[list[str], dict[str, str]]:
    """Start Langflow on SQLite.

    Args:
        settings: The settings.
        python: Python of its environment.
        key: API key of the LLM server, where it wants one.

    Returns:
        Command and environment.
    """
    data = settings.state / "langflow"
    # Not spelled 127.0.0.1, which Langflow rewrites to the host's address inside a container, as in a CI job.
    llm_url = settings.llm_url or f"http://127.1:{settings.llm_port}/v1"
    allowed = {"127.0.0.1", urlsplit(llm_url).hostname or ""} - {""}
    command = [str(python), "-m", "langflow", "run", "--host", "127.0.0.1", "--port", str(settings.langflow_port)]
    environment = {
        **_LANGFLOW_QUIET,
        **settings.secrets,
        "LANGFLOW_API_KEY_SOURCE": "env",
        "LANGFLOW_AUTO_LOGIN": "false",
        "LANGFLOW_CONFIG_DIR": str(data),
        "LANGFLOW_DATABASE_URL": f"sqlite:///{data / 'langflow.db'}",
        "LANGFLOW_LOG_ENV": "container",  # JSON: the pretty format spends 7 s colouring each traceback
        "LANGFLOW_MAX_TEXT_LENGTH": "1000000",  # longer answers are cut in background results; the default is 6000
        "LANGFLOW_SSRF_ALLOWED_HOSTS": os.environ.get("LANGFLOW_SSRF_ALLOWED_HOSTS") or ",".join(sorted(allowed)),
        "OPENAI_COMPATIBLE_API_KEY": key or "none",
        "OPENAI_COMPATIBLE_BASE_URL": llm_url,
    }
    return command, _inherited(environment)


def dagster(settings: Settings, langflow_url: str) -> tuple[list[str], dict[str, str]]:
    """Start Dagster's webserver, daemon and code server.

    Args:
        settings: The settings.
        langflow_url: Base URL of Langflow.

    Returns:
        Command and environment.
    """
    home = settings.state / "dagster"
    command = [sys.executable, "-m", "dagster", "dev", "--module-name", "dagma.definitions"]
    command += ["--host", "127.0.0.1", "--port", str(settings.dagster_port)]
    dagster_url = f"http://127.0.0.1:{settings.dagster_port}"
    defaults = {
        "DAGMA_SCHEDULES_RUNNING": "false",
        "DAGSTER_PUBLIC_URL": dagster_url,
        "LANGFLOW_DEFAULT_FLOW_ID": ASSISTANT,
        "LANGFLOW_PUBLIC_URL": langflow_url,
    }
    environment = {name: os.environ.get(name, value) for name, value in defaults.items()} | {
        "DAGMA_STORAGE_DIR": str(settings.state / "storage"),
        "DAGSTER_HOME": str(home),
        "DAGSTER_WEBSERVER_URL": dagster_url,
        "LANGFLOW_API_KEY": settings.secrets["LANGFLOW_API_KEY"],
        "LANGFLOW_BASE_URL": langflow_url,
        "LLM_MODEL": settings.llm_model,
        "PYTHONPATH": str(settings.root / "src"),
    }
    return command, _inherited(environment)


def _inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Add what this process was given, less what would slow the processes down or send them to other packages."""
    left_out = {"PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PYTHONUNBUFFERED": "1", **environment}
