"""`dagma validate`: can the settings and the definitions of this environment be loaded?"""

import argparse
import os
import threading


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `validate`."""
    parser = subparsers.add_parser(
        "validate",
        help="check that all settings and definitions load",
        description="Load all settings and definitions of this environment, and print what is wrong.",
    )
    parser.set_defaults(handler=validate)


def validate(options: argparse.Namespace) -> int:
    """Print a paragraph for each problem, and return 0 only if there is none; nothing is asked over a network."""
    del options
    # Here, because it imports Dagster, for which no other command should wait.
    from dagma.validation.definitions import loading_problems

    problems = loading_problems()
    for problem in problems:
        print(problem)
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        # A thread that the project's code has started would keep this process alive.
        print(end="", flush=True)
        os._exit(1 if problems else 0)
    return 1 if problems else 0
