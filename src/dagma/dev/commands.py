"""How each process is started: its command line and its environment."""

import os
import re
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

import yaml
from dotenv import dotenv_values

from dagma.dev.dev_settings import Settings
from dagma.flows import ASSISTANT


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
        **_of_the_stack(settings),
        **settings.secrets,
        "LANGFLOW_API_KEY_SOURCE": "env",
        "LANGFLOW_CONFIG_DIR": str(data),
        "LANGFLOW_DATABASE_URL": f"sqlite:///{data / 'langflow.db'}",
        "LANGFLOW_OPEN_BROWSER": "false",
        "LANGFLOW_SSRF_ALLOWED_HOSTS": os.environ.get("LANGFLOW_SSRF_ALLOWED_HOSTS") or allowed,
        "OPENAI_COMPATIBLE_API_KEY": os.environ.get("LLM_API_KEY") or "none",
        "OPENAI_COMPATIBLE_BASE_URL": settings.llm_url,
        # What the image adds to Langflow: fewer garbage collections, and the provider that reports usage in streams.
        "PYTHONPATH": str(settings.root / "docker" / "langflow" / "python"),
    }
    return command, _inherited(environment)


def _of_the_stack(settings: Settings) -> dict[str, str]:
    """Read what docker-compose.yml sets for Langflow: who may call it, who runs code in it, what it looks up and cuts.

    What that file leaves to its environment is left to the environment of this process.
    """
    compose = yaml.safe_load((settings.root / "docker-compose.yml").read_text(encoding="utf-8"))
    return {
        name: re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: os.environ.get(found[1]) or found[2], value)
        for name, value in compose["services"]["langflow"]["environment"].items()
        if not name.endswith("_FILE")
    }


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
    return {**kept, **environment, "NO_PROXY": direct, "no_proxy": direct, "PYTHONUNBUFFERED": "1"}
