"""Entry point of `dagma`.

Every command is a module with `add_parser(subparsers)`, which sets `handler`: it takes the parsed arguments and returns
the exit code. None imports dagster, which alone takes two seconds.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from dagma import __version__, environment
from dagma.batches.errors import TableError
from dagma.cli import ask, flows_command, reload, run, table, validate
from dagma.cli.doctor import command as doctor
from dagma.cli.launching import INTERRUPTED, UnfinishedError
from dagma.flows.files import FlowFileError
from dagma.langflow import LangflowError
from dagma.ledger import LedgerError
from dagma.ledger import commands as ledger

COMMANDS = (ask, run, doctor, flows_command, validate, reload, ledger, table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="dagma", description="Dagster as the control plane for Langflow.")
    parser.add_argument("--version", action="version", version=f"dagma {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An answer was paid for: what this terminal's encoding has no sign for is printed as \u....
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        exit_code: int = options.handler(options)
        print(end="", flush=True)
    except UnfinishedError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough (`| head`); Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (environment.SettingError, FlowFileError, LangflowError, LedgerError, TableError, OSError) as error:
        print(f"dagma: {error}", file=sys.stderr)
        return 1
    return exit_code
