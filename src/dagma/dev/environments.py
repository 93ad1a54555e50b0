"""The virtual environments of Langflow and of the local LLM, from the same locks as their images."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from dagma.dev.dev_settings import NotReadyError, Settings

Run = Callable[[str, list[str], dict[str, str]], None]
"""Runs a command to its end, given its name, its words and its environment; raises where it fails."""


def ensure(settings: Settings, name: str, run: Run) -> Path:
    """Install a virtual environment, unless it is there and its lock, of `docker/<name>`, is the one it was made from.

    Returns:
        Its Python.

    Raises:
        NotReadyError: uv is missing.
    """
    lock = settings.root / "docker" / name / "requirements.txt"
    folder = settings.environments / name
    python = folder / "bin" / "python"
    made_from = settings.environments / f"{name}.made-from"
    wanted = (
        f"{hashlib.sha256(lock.read_bytes()).hexdigest()} Python {sys.version_info.major}.{sys.version_info.minor}\n"
    )
    if python.exists() and made_from.is_file() and made_from.read_text() == wanted:
        return python
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise NotReadyError("uv is missing: run `make dev`, which installs it into .venv")
    settings.environments.mkdir(parents=True, exist_ok=True)
    made_from.unlink(missing_ok=True)
    # The CAs that the machine trusts, for a proxy that re-signs TLS. Bytecode halves Langflow's start.
    environment = {"UV_SYSTEM_CERTS": "true", "UV_COMPILE_BYTECODE": "1", **os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    run(f"venv-{name}", [uv, "venv", "--clear", "--python", sys.executable, str(folder)], environment)
    install = [uv, "pip", "install", "--python", str(python), "--no-deps", "--require-hashes", "-r", str(lock)]
    run(f"install-{name}", install, environment)
    made_from.write_text(wanted)
    return python
