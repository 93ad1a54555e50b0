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


class NotReadyError(Exception):
    """Something on this machine keeps the processes from starting; the message says what, and the fix."""


@dataclass(frozen=True)
class Settings:
    """What the processes share."""

    root: Path
    """The repository."""
    state: Path
    """Databases, logs and secrets of this instance."""
    dagster_port: int
    langflow_port: int
    llm_port: int
    langflow_url: str | None
    """A Langflow that runs already; None starts one."""
    llm_url: str | None
    """An OpenAI-compatible server to use instead of the local LLM; None starts that."""
    llm_model: str
    llm_api_key: str = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    """The variables that Langflow's clients and users prove themselves with, by name."""

    @property
    def starts_langflow(self) -> bool:
        """Whether a Langflow of one's own is started."""
        return self.langflow_url is None

    @property
    def starts_llm(self) -> bool:
        """Whether the local LLM is started: only a Langflow of one's own can be pointed at it."""
        return self.starts_langflow and self.llm_url is None

    @property
    def logs(self) -> Path:
        """Folder of the processes' output."""
        return self.state / "logs"

    @property
    def langflow_data(self) -> Path:
        """Folder of Langflow's database and files."""
        return self.state / "langflow"

    @property
    def environments(self) -> Path:
        """Folder of the virtual environments, which instances with a state of their own share."""
        return self.root / ".dev" / "venvs"

    def ports(self) -> dict[str, int]:
        """List the ports that must be free, by the variable that changes each."""
        wanted = {"DAGSTER_PORT": self.dagster_port}
        if self.starts_langflow:
            wanted["LANGFLOW_PORT"] = self.langflow_port
        if self.starts_llm:
            wanted["LLM_PORT"] = self.llm_port
        return wanted


def read_settings(root: Path, environment: Mapping[str, str]) -> Settings:
    """Read the settings of the repository at `root`; make the secrets on the first start.

    Raises:
        NotReadyError: `root` is not the repository, a port is no number, or a server to use has no API key.
    """
    if not (root / "docker" / "langflow" / "requirements.txt").is_file():
        raise NotReadyError(f"{root} is not Dagma's repository: start from its root, with `make dev`")
    state = Path(environment.get("DAGMA_DEV_DIR") or root / ".dev").resolve()
    langflow_url = environment.get("LANGFLOW_BASE_URL") or None
    if langflow_url and not environment.get("LANGFLOW_API_KEY"):
        raise NotReadyError("LANGFLOW_BASE_URL is set and LANGFLOW_API_KEY is not: set the key of that server too")
    return Settings(
        root=root,
        state=state,
        dagster_port=_port(environment, "DAGSTER_PORT", DEFAULT_DAGSTER_PORT),
        langflow_port=_port(environment, "LANGFLOW_PORT", 7860),
        llm_port=_port(environment, "LLM_PORT", 8080),
        langflow_url=langflow_url.rstrip("/") if langflow_url else None,
        llm_url=environment.get("LLM_BASE_URL") or None,
        llm_model=environment.get("LLM_MODEL") or "smollm2-135m",
        llm_api_key=environment.get("LLM_API_KEY", ""),
        secrets={"LANGFLOW_API_KEY": environment["LANGFLOW_API_KEY"]} if langflow_url else _secrets(state / "env"),
    )


def check_ports(settings: Settings) -> None:
    """Look whether every port is free; Langflow would take the next one without a word.

    Raises:
        NotReadyError: One or more are taken, or two are the same.
    """
    wanted = settings.ports()
    taken = [f"port {port} is in use: set {name} to another" for name, port in wanted.items() if not _is_free(port)]
    if len(set(wanted.values())) < len(wanted):
        taken.append(f"{', '.join(wanted)} must be different ports")
    if taken:
        raise NotReadyError("\n".join(taken))


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise NotReadyError(f"{name} must be a port from 1 to 65535, not {text!r}")
    return int(text)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Sockets of an instance that has just ended don't count; those that listen do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


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
