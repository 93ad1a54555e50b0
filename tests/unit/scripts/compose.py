"""docker-compose.yml as data, and the variables that it, .env.example and the code name."""

import ast
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
GATEWAY_TEXT = (ROOT / "docker-compose.gateway.yml").read_text()
# `!reset []` says of a list of docker-compose.yml that it is empty here.
GATEWAY: dict[str, Any] = yaml.safe_load(GATEWAY_TEXT.replace("!reset ", ""))
SHARED: dict[str, str] = COMPOSE["x-dagma-environment"]
OF_DAGSTER: dict[str, str] = COMPOSE["x-dagster-environment"]
# What each service is given as a file.
SECRETS: dict[str, set[str]] = {name: set(service.get("secrets", [])) for name, service in SERVICES.items()}
ONE_SHOTS = {"dagster-migrate", "flows-push", "ledger-migrate", "validate"}
LASTING = sorted(SERVICES.keys() - ONE_SHOTS)

# Only containers that run commands of their own read these: each, or its file, stands in the environment of the service
# named here.
OF_ONE_SERVICE = {
    "DAGMA_LEDGER_APP_ROLE": "ledger-migrate",
    "DAGMA_LEDGER_OWNER_URL": "ledger-migrate",
    "LANGFLOW_SECURE_COOKIES": "validate",
    "LLM_API_KEY": "flows-push",
    "LLM_BASE_URL": "flows-push",
    **dict.fromkeys(COMPOSE["x-langflow-choices"], "validate"),
}
# The image sets it.
OF_THE_IMAGE = {"DAGMA_FLOWS_DIR", "DAGMA_PROJECT_DIR", "DAGMA_PROJECT_SECRETS_DIR", "DAGSTER_HOME"}
# Only the webserver behind the gateway, which its overlay adds, and `dagma` on other machines read these.
OF_THE_GATEWAY = {"DAGMA_GATEWAY_SECRET", "DAGMA_GATEWAY_SECRET_FILE", "DAGMA_TOKEN", "DAGMA_URL"}
# Code that runs outside the containers.
OUTSIDE = ("dev", "testing")


def given(environment: dict[str, str]) -> set[str]:
    """The variables that a container is given, by themselves or as a file's name."""
    return {
        name.removesuffix("_FILE") if str(value).startswith("/run/secrets/") else name
        for name, value in environment.items()
    }


def interpolated() -> set[str]:
    """The variables that the Compose files take from .env."""
    return set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE_TEXT + GATEWAY_TEXT))


def exemplified() -> dict[str, str]:
    """The variables of .env.example, those in comments included, with their values."""
    lines = re.findall(r"^(?:# )?([A-Z][A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    return dict(lines)


def read_by_code() -> set[str]:
    """The names of variables that stand as texts in the code of the containers."""
    names: set[str] = set()
    package = ROOT / "src" / "dagma"
    for path in package.rglob("*.py"):
        if path.relative_to(package).parts[0] in OUTSIDE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.update(re.findall(r"\A(?:CELERY|DAGMA|DAGSTER|LANGFLOW|LLM)_[A-Z_]+\Z", node.value))
    return names
