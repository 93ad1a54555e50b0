"""`dagster dev` with the guarded webserver, with the same options."""

from collections.abc import Sequence
from typing import Any

from dagster._cli import dev
from dagster_shared.ipc import open_ipc_subprocess


def open_guarded(command: Sequence[str], **options: Any) -> Any:
    """Start a process of `dagster dev`, the webserver behind its guard."""
    modules = {"dagster_webserver": "dagma.execution.guarded_webserver"}
    return open_ipc_subprocess([modules.get(part, part) for part in command], **options)


def main() -> None:
    """Run until it is told to end."""
    # It names the webserver's module itself, and has no option for another.
    processes: Any = dev
    if processes.open_ipc_subprocess is not open_ipc_subprocess:
        raise RuntimeError(
            "This version of `dagster dev` starts its webserver otherwise, and would leave out the guard."
        )
    processes.open_ipc_subprocess = open_guarded
    dev.dev_command()


if __name__ == "__main__":
    main()
