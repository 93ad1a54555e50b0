"""Kill services at random moments of durable calls, and count what is lost and what is paid twice.

Usage: python -m chaos.random_kills [--kills 20] [--seed SEED]
The last line is `kills=… answered=… lost=… paid_twice=… slowest_seconds=…`. The exit code is 1 if anything was lost,
paid twice or left wrong in the ledger. The same seed kills the same services at the same moments after each launch.
"""

import argparse
import random
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.calls import Calls
from chaos.evidence import Evidence
from chaos.faults import SERVICES
from harness.stack import Stack, fresh_stack
from stack.conftest import Dagster

from dagma.execution.webserver import Webserver

SURVIVE_SECONDS = 900.0
"""A job that was still queued when Langflow died is given up after ten minutes, and sent again."""
LONGEST_MOMENT_SECONDS = 6.0
"""A call takes 4 to 8 s: kills meet the queue, the submit, the LLM at work, the answer's way back, and the end."""


@dataclass
class Tally:
    """What became of the calls so far."""

    kills: int = 0
    answered: int = 0
    lost: int = 0
    paid_twice: int = 0
    wrong: int = 0
    slowest_seconds: float = 0.0

    def count(self, evidence: Evidence | None) -> None:
        """Add a kill, and the call that it met; None where the call did not end in time."""
        self.kills += 1
        if evidence is None:
            self.lost += 1
            self.wrong += 1
            return
        self.answered += evidence.answered
        self.lost += not evidence.answered
        self.paid_twice += evidence.paid_twice
        self.wrong += bool(evidence.problems())
        self.slowest_seconds = max(self.slowest_seconds, evidence.seconds)

    def __str__(self) -> str:
        return (
            f"kills={self.kills} answered={self.answered} lost={self.lost} paid_twice={self.paid_twice} "
            f"slowest_seconds={self.slowest_seconds:.1f}"
        )


def victims(chance: random.Random, among: Sequence[str] = SERVICES) -> Iterator[str]:
    """Choose services to kill, without end: each once before any of them again."""
    while True:
        yield from chance.sample(among, len(among))


def kill_at_random(calls: Calls, stack: Stack, chance: random.Random, kills: int, tally: Tally) -> None:
    """Make one call per kill."""
    for number, service in zip(range(1, kills + 1), victims(chance), strict=False):
        moment = chance.uniform(0.0, LONGEST_MOMENT_SECONDS)
        evidence, outcome = None, "no end"
        call = calls.launch()
        calls.wait(call, moment)
        stack.kill(service)
        try:
            evidence = calls.finish(call, SURVIVE_SECONDS)
            outcome = f"{evidence.runs[-1].status} after {evidence.seconds:.1f} s"
        except (AssertionError, TimeoutError) as error:
            print(error, file=sys.stderr)
        tally.count(evidence)
        shape = f"{len(evidence.runs)} runs, {len(evidence.rows)} attempts" if evidence else "unknown"
        print(f"{number}/{kills} {service} killed at {moment:.1f} s: {outcome}, {shape}", flush=True)
        if evidence and evidence.problems():
            print(evidence.report(), file=sys.stderr)


def main() -> int:
    """Run it on a stack of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, which is printed")
    arguments = parser.parse_args()
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    print(f"seed={seed}", flush=True)
    tally = Tally()
    # The schedule would make a call of its own.
    with (
        tempfile.TemporaryDirectory() as folder,
        fresh_stack(Path(folder), DAGMA_SCHEDULES_RUNNING="false") as stack,
    ):
        calls = Calls(stack, Dagster(Webserver(stack.dagster_url)))
        try:
            # No seed protects anything here.
            kill_at_random(calls, stack, random.Random(seed), arguments.kills, tally)  # noqa: S311
        finally:
            print(tally, flush=True)
    return int(tally.wrong > 0 or tally.lost > 0 or tally.paid_twice > 0)


if __name__ == "__main__":
    sys.exit(main())
