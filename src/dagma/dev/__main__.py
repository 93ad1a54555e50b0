"""`make dev`: start everything, each when what it needs is there, say where it is, and end all of it on Ctrl-C."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from dagma.dev import commands
from dagma.dev.dev_settings import DEFAULT_DAGSTER_PORT, DevError, Settings, read_settings
from dagma.dev.processes import Processes

WATCH_SECONDS = 1.0


def main() -> int:
    """Run until Ctrl-C, or until one of the processes ends.

    Returns:
        0 after Ctrl-C or SIGTERM, 1 where something failed.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        settings = read_settings(Path.cwd(), os.environ)
        with Processes(settings.state / "logs") as processes:
            start(settings, processes)
            print(screen(settings), flush=True)
            while True:
                processes.check()
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        print("\nended", flush=True)
        return 0
    except (DevError, OSError) as error:
        print(f"\nerror: {error}", file=sys.stderr, flush=True)
        return 1


def start(settings: Settings, processes: Processes) -> None:
    """Start the local LLM, Langflow and Dagster, as far as they are not to be had elsewhere, and push the flows.

    Raises:
        DevError: A process has failed, or does not answer in time.
    """
    if settings.starts_llm:
        processes.start("llm", *commands.llm(settings), settings.state)
        processes.wait_for("llm", f"http://127.0.0.1:{settings.ports['LLM_PORT']}/health", seconds=120)
    if settings.starts_langflow:
        processes.start("langflow", *commands.langflow(settings), settings.state / "langflow")
        # Its first start also creates its database.
        processes.wait_for("langflow", f"{settings.langflow_url}/health_check", seconds=300)
    environment = commands.dagma_environment(settings)
    home = Path(environment["DAGSTER_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    # SQLite beside the files, and runs as processes: dagster_home/ itself needs Postgres, Redis and workers.
    for file in (settings.root / "dagster_home" / "dev").glob("*.yaml"):
        shutil.copy(file, home)
    push = [sys.executable, "-m", "dagma.cli", "flows", "push", "--dir", str(settings.root / "flows"), "--wait", "10"]
    if subprocess.run(push, env=environment, check=False).returncode:  # noqa: S603 - the command is this package's own
        raise DevError("the flows were not pushed to Langflow, for the cause above")
    # Not in the repository's root: Dagster reads a .env where it is started, and that one is the containers'.
    processes.start("dagster", commands.dagster(settings), environment, home)
    processes.wait_for("dagster", f"{environment['DAGSTER_WEBSERVER_URL']}/server_info", seconds=180)


def screen(settings: Settings) -> str:
    """Write what a person needs to know once everything runs."""
    dagster_port = settings.ports["DAGSTER_PORT"]
    dagster_url = f"http://127.0.0.1:{dagster_port}"
    login = ""
    if settings.starts_langflow:
        login = "   log in as {LANGFLOW_SUPERUSER} with {LANGFLOW_SUPERUSER_PASSWORD}".format(**settings.secrets)
    where = "" if dagster_port == DEFAULT_DAGSTER_PORT else f"DAGSTER_WEBSERVER_URL={dagster_url} "
    return f"""
  Dagster    {dagster_url}
  Langflow   {settings.langflow_url}{login}
  Logs       {settings.state / "logs"}

  Next, in another terminal:
  {where}.venv/bin/dagma ask "What is the capital of France?"

  Ctrl-C ends all of it; the data stays in {settings.state}."""


if __name__ == "__main__":
    sys.exit(main())
