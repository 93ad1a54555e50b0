"""`make dev`: start everything, say where it is, and end all of it on Ctrl-C."""

import os
import sys
from pathlib import Path

from dagma.dev.dev_settings import DEFAULT_DAGSTER_PORT, NotReadyError, Settings, check_ports, read_settings
from dagma.dev.interruption import EndRequestedError, Interruption
from dagma.dev.processes import ChildEndedError, ProcessGroups
from dagma.dev.start import Starter

WATCH_SECONDS = 1.0


def main() -> int:
    """Run until Ctrl-C, or until one of the processes ends.

    Returns:
        0 after Ctrl-C or SIGTERM, 1 where something failed.
    """
    interruption = Interruption()
    try:
        settings = read_settings(Path.cwd(), os.environ)
        check_ports(settings)
        with ProcessGroups(settings.logs) as processes:
            url = Starter(settings, processes, interruption).start()
            print(screen(settings, url), flush=True)
            while True:
                interruption.pause(WATCH_SECONDS)
                processes.check()
    except EndRequestedError:
        print("\nended", flush=True)
        return 0
    except (ChildEndedError, NotReadyError, OSError) as error:
        print(f"\nerror: {error}", file=sys.stderr, flush=True)
        return 1


def screen(settings: Settings, langflow_url: str) -> str:
    """Write what a person needs to know once everything runs."""
    dagster_url = f"http://127.0.0.1:{settings.dagster_port}"
    login = ""
    if settings.starts_langflow:
        login = "   log in as {LANGFLOW_SUPERUSER} with {LANGFLOW_SUPERUSER_PASSWORD}".format(**settings.secrets)
    where = "" if settings.dagster_port == DEFAULT_DAGSTER_PORT else f"DAGSTER_WEBSERVER_URL={dagster_url} "
    return f"""
  Dagster    {dagster_url}
  Langflow   {langflow_url}{login}
  Logs       {settings.logs}

  Next, in another terminal:
  {where}.venv/bin/dagma ask "What is the capital of France?"

  Ctrl-C ends all of it; the data stays in {settings.state}."""


if __name__ == "__main__":
    sys.exit(main())
