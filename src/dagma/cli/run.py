"""`dagma run` and `dagma prune`: one run of a job, to its end."""

import argparse
import time
from typing import Any

from dagma.cli.launching import add_wait_option, how_it_ended, run_to_end
from dagma.execution.webserver import Webserver
from dagma.ledger.formats import printable


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `run`, and `prune`, which runs the job that the schedule `prune_daily` runs every night."""
    parser = subparsers.add_parser(
        "run",
        help="run a job of the project and print what its last asset shows",
        description="Run a job, wait for its end, and print what its last asset shows.",
    )
    parser.add_argument("job", metavar="JOB", help="the job")
    parser.add_argument(
        "--location", default="project", metavar="NAME", help="the code location that has it; default: %(default)s"
    )
    pruning = subparsers.add_parser(
        "prune",
        help="delete what is older than DAGMA_RETENTION_* says",
        description="Run the job `prune` now, as its schedule does every night, and wait for its end.",
    )
    pruning.set_defaults(job="prune", location="dagma")
    for each in (parser, pruning):
        add_wait_option(each)
        each.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Launch the job, wait for its end, and print what its last asset shows; 0 only if the run succeeded."""
    webserver = Webserver.from_environment().at(options.location)
    started = time.monotonic()
    _, outcome = run_to_end(
        webserver,
        options.job,
        {},
        options.wait,
        on_launch=lambda run_id: print(f"{options.job} runs: {webserver.run_url(run_id)}\n", flush=True),
    )
    if outcome.status != "SUCCESS":
        print(how_it_ended(outcome))
        return 1
    _print(outcome.metadata | {"seconds": round(time.monotonic() - started, 1)})
    return 0


def _print(metadata: dict[str, Any]) -> None:
    """Print texts of several lines first, then a line for each text and number; tables and JSON stay in the UI."""
    texts = {name: value for name, value in metadata.items() if isinstance(value, str) and "\n" in value}
    for text in texts.values():
        print(f"{printable(text)}\n")
    plain = {
        name: value
        for name, value in metadata.items()
        if name not in texts and isinstance(value, str | int | float | bool)
    }
    width = max(map(len, plain))
    for name, value in plain.items():
        print(f"  {name:<{width}}  {f'{value:.4g}' if isinstance(value, float) else printable(str(value))}")
