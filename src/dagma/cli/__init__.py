"""The command line: `dagma ask`, `dagma doctor`, and what other parts of Dagma add."""

from dagma.cli.main import main

__all__ = ["main"]
