"""How each process is started: its command line and its environment."""

import os
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from dotenv import dotenv_values

from dagma.dev.dev_settings import Settings
from dagma.flows import ASSISTANT

# Nothing looked up or sent at start, and nothing loaded that flows don't use.
_LANGFLOW_QUIET = {
    "DO_NOT_TRACK": "true",
    "LANGFLOW_MCP_COMPOSER_ENABLED": "false",
    "LANGFLOW_MODELS_DEV_REFRESH": "false",
    "LANGFLOW_OPEN_BROWSER": "false",
    "LANGFLOW_SKIP_MCP_AUTO_INIT": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
# Which web pages may call Langflow, and who runs code in it: as docker-compose.yml sets it, and says why.
_LANGFLOW_DOORS = {
    "LANGFLOW_ACCESS_SAME_SITE": "strict",
    "LANGFLOW_ALLOW_PUBLIC_CUSTOM_COMPONENTS": "false",
    "LANGFLOW_CORS_ALLOW_CREDENTIALS": "false",
    "LANGFLOW_REFRESH_SAME_SITE": "strict",
}
# The same, where whoever starts it may choose otherwise.
_LANGFLOW_CHOICES = {
    "LANGFLOW_AGENTIC_EXPERIENCE": "false",
    "LANGFLOW_ALLOW_CUSTOM_COMPONENTS": "true",
    "LANGFLOW_BLOCK_CODE_INTERPRETER_COMPONENTS": "true",
    "LANGFLOW_CORS_ORIGINS": "",
    "LANGFLOW_CUSTOM_COMPONENT_ADMIN_ONLY": "true",
    "LANGFLOW_TWEAKS_POLICY": "declared",
    "LLM_STREAM_USAGE": "true",
}


def llm(settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Give the command and the environment of the local LLM."""
    command = [_python(settings, "llm"), str(settings.root / "docker" / "llm" / "server.py")]
    return command, _inherited({"LLM_HOST": "127.0.0.1", "LLM_PORT": str(settings.ports["LLM_PORT"])})


def langflow(settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Give the command and the environment of Langflow on SQLite."""
    data = settings.state / "langflow"
    allowed = ",".join(sorted({"127.0.0.1", urlsplit(settings.llm_url).hostname or "127.0.0.1"}))
    where = ["--host", "127.0.0.1", "--port", str(settings.ports["LANGFLOW_PORT"])]
    command = [_python(settings, "langflow"), "-m", "langflow", "run", *where]
    environment = {
        **_LANGFLOW_QUIET,
        **_LANGFLOW_DOORS,
        **{name: os.environ.get(name, value) for name, value in _LANGFLOW_CHOICES.items()},
        **settings.secrets,
        "LANGFLOW_API_KEY_SOURCE": "env",
        "LANGFLOW_AUTO_LOGIN": "false",
        "LANGFLOW_CONFIG_DIR": str(data),
        "LANGFLOW_DATABASE_URL": f"sqlite:///{data / 'langflow.db'}",
        "LANGFLOW_LOG_ENV": "container",  # JSON: the pretty format spends 7 s colouring each traceback
        "LANGFLOW_MAX_TEXT_LENGTH": "1000000",  # longer texts are cut in background results; the default is 6000
        "LANGFLOW_MAX_ITEMS_LENGTH": "1000000",  # longer lists are cut as well; the default is 1000
        "LANGFLOW_SSRF_ALLOWED_HOSTS": os.environ.get("LANGFLOW_SSRF_ALLOWED_HOSTS") or allowed,
        "OPENAI_COMPATIBLE_API_KEY": os.environ.get("LLM_API_KEY") or "none",
        "OPENAI_COMPATIBLE_BASE_URL": settings.llm_url,
        # What the image adds to Langflow: fewer garbage collections, and the provider that reports usage in streams.
        "PYTHONPATH": str(settings.root / "docker" / "langflow" / "python"),
    }
    return command, _inherited(environment)


def dagster(settings: Settings) -> list[str]:
    """Give the command of Dagster's webserver behind its guard, the daemon and the code server."""
    workspace = str(settings.state / "dagster" / "workspace.yaml")
    where = ["--host", "127.0.0.1", "--port", str(settings.ports["DAGSTER_PORT"])]
    return [sys.executable, "-m", "dagma.dev.guarded_dagster", "--workspace", workspace, *where]


def dagma_environment(settings: Settings) -> dict[str, str]:
    """Give the environment of what is Dagma's own: Dagster and the command line."""
    dagster_url = f"http://127.0.0.1:{settings.ports['DAGSTER_PORT']}"
    defaults = {
        "DAGMA_SCHEDULES_RUNNING": "false",
        "DAGSTER_PUBLIC_URL": dagster_url,
        "LANGFLOW_DEFAULT_FLOW_ID": ASSISTANT,
        "LANGFLOW_MODE": "auto",
        "LANGFLOW_PUBLIC_URL": settings.langflow_url,
    }
    # The project's own variables, which containers get as files.
    values = dotenv_values(settings.root / "project" / ".env", interpolate=False)
    own = {name: value for name, value in values.items() if value}
    environment = {name: os.environ.get(name, value) for name, value in (own | defaults).items()} | {
        "DAGMA_PROJECT_DIR": str(settings.root / "project"),
        "DAGMA_STORAGE_DIR": str(settings.state / "storage"),
        "DAGSTER_HOME": str(settings.state / "dagster"),
        "DAGSTER_WEBSERVER_URL": dagster_url,
        "LANGFLOW_API_KEY": settings.secrets["LANGFLOW_API_KEY"],
        "LANGFLOW_BASE_URL": settings.langflow_url,
        "PYTHONPATH": str(settings.root / "src"),
    }
    if settings.starts_langflow:
        # Pushed with the flows; to someone else's server only as far as they are set.
        environment |= {"LLM_BASE_URL": settings.llm_url, "LLM_MODEL": os.environ.get("LLM_MODEL") or "smollm2-135m"}
    return _inherited(environment)


def _python(settings: Settings, name: str) -> str:
    """Name the Python of a server's own packages, which `make dev` has installed."""
    return str(settings.root / ".dev" / "venvs" / name / "bin" / "python")


def _inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Add what this process was given, less what would slow the processes down or send them to other packages."""
    left_out = {"PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1,127.1,localhost"]))
    return {**kept, "NO_PROXY": direct, "no_proxy": direct, "PYTHONUNBUFFERED": "1", **environment}
