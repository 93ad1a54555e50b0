"""Run measurements on containers of their own, and end with one line per figure: name value unit target.

Usage: python -m bench.run [PART...]    Without parts, all of them: gateway, launches, overhead, throughput, batches.
"""

import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from bench import gateway, launches
from bench.figures import Figure, read_figures
from harness.stack import ROOT, Stack, fresh_stack

OVERLAY = "tests/bench/docker-compose.yml"
ECHO = "da90a000-0000-4000-8000-000000000002"
DEFAULT_SERVICES = ("default-webserver", "default-daemon", "default-user-code")
# No part of a direct call, whose caller is a container of its own. What they do by themselves is noise, for both alike.
OTHER_SERVICES = (
    *("recorder", "dagster-webserver", "dagster-daemon", "user-code", "project-code", "worker", "llm", "redis"),
)
# What is measured where calls run, and the flow that it asks.
IN_WORKER = {"overhead": (), "throughput": (ECHO,), "batches": (ECHO,)}
PARTS = ("gateway", "launches", *IN_WORKER)
SETTINGS = {
    # Through the relay that records when Langflow is asked.
    "LANGFLOW_BASE_URL": "http://recorder:7860",
    # One request per call, so that the first one is the call.
    "LANGFLOW_MODE": "direct",
    "DAGMA_SCHEDULES_RUNNING": "false",
}


def in_worker(stack: Stack, script: str, *arguments: str) -> list[Figure]:
    """Run a script where calls run: a container of the worker's image, settings, limits and network."""
    printed = stack.run(
        *("run", "--rm", "--no-deps", "-T"),
        *("--env", "LANGFLOW_BASE_URL=http://langflow:7860"),
        *("--volume", f"{ROOT}/tests/bench:/measure/bench:ro", "--workdir", "/measure"),
        *("worker", "python", "-m", f"bench.{script}", *arguments),
    )
    figures = read_figures(printed)
    print("\n".join(line for line in printed.splitlines() if not line.startswith('{"name"')), flush=True)
    if not figures:
        raise AssertionError(f"bench.{script} printed no figure")
    return figures


def on_a_stack(parts: Collection[str]) -> list[Figure]:
    """Measure these parts on a stack that does nothing else."""
    with tempfile.TemporaryDirectory() as folder, fresh_stack(Path(folder), OVERLAY, **SETTINGS) as stack:
        figures = launches.measure(stack, ECHO) if "launches" in parts else []
        stack.run("stop", *DEFAULT_SERVICES, *OTHER_SERVICES)
        for script, arguments in IN_WORKER.items():
            figures += in_worker(stack, script, *arguments) if script in parts else []
    return figures


def main(*parts: str) -> None:
    """Measure, and print."""
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"There is no part {', '.join(sorted(unknown))}. Parts: {', '.join(PARTS)}.")
    wanted = parts or PARTS
    figures = gateway.measure() if "gateway" in wanted else []
    if set(wanted) != {"gateway"}:
        figures += on_a_stack(wanted)
    for figure in figures:
        print(figure)


if __name__ == "__main__":
    main(*sys.argv[1:])
