"""Where everything of `make dev` lies and listens, and its secrets."""

import base64
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_DAGSTER_PORT = 3000
"""Where `dagma ask` looks for Dagster by itself."""


class DevError(Exception):
    """Something keeps the processes from running; the message says what, and the fix."""


@dataclass(frozen=True)
class Settings:
    """What the processes share."""

    root: Path
    """The repository."""
    state: Path
    """Databases, logs and secrets of this instance."""
    ports: Mapping[str, int]
    """Of what is started, by the variable that changes each."""
    langflow_url: str
    llm_url: str
    """As Langflow reaches it."""
    secrets: Mapping[str, str] = field(repr=False)
    """The variables that Langflow's clients and users prove themselves with, by name."""

    @property
    def starts_langflow(self) -> bool:
        """Whether a Langflow of one's own is started."""
        return "LANGFLOW_PORT" in self.ports

    @property
    def starts_llm(self) -> bool:
        """Whether the local LLM is started: only a Langflow of one's own can be pointed at it."""
        return "LLM_PORT" in self.ports


def read_settings(root: Path, environment: Mapping[str, str]) -> Settings:
    """Read the settings of the repository at `root`; make the secrets on the first start.

    Raises:
        DevError: A port can't be used, or a server to use has no API key.
    """
    state = Path(environment.get("DAGMA_DEV_DIR") or root / ".dev").resolve()
    langflow_url = environment.get("LANGFLOW_BASE_URL", "").rstrip("/")
    llm_url = environment.get("LLM_BASE_URL", "")
    if langflow_url and not environment.get("LANGFLOW_API_KEY"):
        raise DevError("LANGFLOW_BASE_URL is set and LANGFLOW_API_KEY is not: set the key of that server too")
    ports = {"DAGSTER_PORT": _free_port(environment, "DAGSTER_PORT", DEFAULT_DAGSTER_PORT)}
    if not langflow_url:
        ports["LANGFLOW_PORT"] = _free_port(environment, "LANGFLOW_PORT", 7860)
        if not llm_url:
            ports["LLM_PORT"] = _free_port(environment, "LLM_PORT", 8080)
    return Settings(
        root=root,
        state=state,
        ports=ports,
        langflow_url=langflow_url or f"http://127.0.0.1:{ports['LANGFLOW_PORT']}",
        # Not spelled 127.0.0.1, which Langflow rewrites to the host's address inside a container, as in a CI job.
        llm_url=llm_url or f"http://127.1:{ports.get('LLM_PORT')}/v1",
        secrets={"LANGFLOW_API_KEY": environment["LANGFLOW_API_KEY"]} if langflow_url else _secrets(state / "env"),
    )


def _free_port(environment: Mapping[str, str], name: str, default: int) -> int:
    """Read a port that nothing listens on; Langflow would take the next one without a word."""
    word = environment.get(name) or str(default)
    try:
        with socket.socket() as probe:
            # Sockets of an instance that has just ended don't count; those that listen do.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", int(word)))
    except (OSError, OverflowError, ValueError) as error:
        raise DevError(f"port {word} can't be used: {error}. Set {name} to another") from None
    return int(word)


def _secrets(path: Path) -> dict[str, str]:
    """Read the secrets' file, or make it: the databases of `path`'s folder can't be used with others."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = {
            "LANGFLOW_API_KEY": f"sk-{secrets.token_urlsafe(32)}",
            "LANGFLOW_SECRET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "LANGFLOW_SUPERUSER": "admin",
            "LANGFLOW_SUPERUSER_PASSWORD": secrets.token_urlsafe(12),
        }
        text = "".join(f"{name}={value}\n" for name, value in made.items())
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
