"""Kill services, or cancel, at random moments of a table's materialization; count what is lost and what is paid twice.

Usage: python -m chaos.table_kills [--kills 20] [--seed SEED]
The last line is `kills=… rows=… answered=… paid_twice=… lost=… llm_answers=…`. The exit code is 1 if a row was lost or
paid twice. The same seed kills the same services at the same moments after each launch. More `llm_answers` than rows
are answers that were under way when Langflow or its database was killed.
"""

import argparse
import random
import secrets
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from chaos.random_kills import victims
from chaos.row_evidence import RowEvidence
from chaos.tables import Table, answered_of, problems_of, stack_with_table

CANCEL = "cancel"
VICTIMS = ("worker", "langflow", "postgres", "redis", "project-code", CANCEL)
ROWS_PER_KILL = 40
LONGEST_MOMENT_SECONDS = 10.0
"""Rows are sent from the second second on; answering all of them takes about ten."""
SURVIVE_SECONDS = 900.0


@dataclass
class Damage:
    """What has become of the rows."""

    kills: int
    rows: list[RowEvidence] = field(repr=False)

    @property
    def lost(self) -> int:
        """Rows without the answer to their question."""
        return sum(not row.is_answered for row in self.rows)

    @property
    def paid_twice(self) -> int:
        """Rows that were paid for again without need."""
        return sum(row.paid_twice for row in self.rows)

    def problems(self) -> str:
        """Say everything that is wrong; empty where nothing is."""
        return problems_of(self.rows)

    def __str__(self) -> str:
        return (
            f"kills={self.kills} rows={len(self.rows)} answered={len(self.rows) - self.lost} "
            f"paid_twice={self.paid_twice} lost={self.lost} llm_answers={sum(row.answers for row in self.rows)}"
        )


def kill_at_random(table: Table, chance: random.Random, kills: int) -> Damage:
    """Add rows and materialize the table for each kill, and again until it is whole; count the damage of all."""
    # Of a Langflow without an older call nobody can tell that a call never began: see docs/calls.md.
    table.add_rows(1)
    table.materialize_until_done()
    for number, victim in zip(range(1, kills + 1), victims(chance, VICTIMS), strict=False):
        moment = chance.uniform(0.0, LONGEST_MOMENT_SECONDS)
        first = table.rows + 1
        table.add_rows(ROWS_PER_KILL)
        materialization = table.launch()
        table.wait(materialization, moment)
        done = answered_of(table.requests(), first, table.rows)
        if victim == CANCEL:
            ended = table.cancel(materialization)
            struck = "had ended before" if ended is None else f"cancelled in {ended:.1f} s"
        else:
            table.kill(victim)
            struck = f"{victim} killed"
        ends = table.finish(materialization, SURVIVE_SECONDS)
        again = table.materialize_until_done()
        statuses = ", ".join(end.status for end in ends)
        tell(
            f"{number}/{kills} {struck} at {moment:.1f} s and {done} of {ROWS_PER_KILL} rows: {statuses}; {again} more"
        )
    return Damage(kills, table.evidence())


def tell(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def seed_of(given: str | None) -> int:
    """Read the seed; a random one where none is given."""
    return int(given) if given else secrets.randbelow(10**6)


def damage_on_a_stack(folder: Path, kills: int, seed: int) -> Damage:
    """Run it on a stack of its own, which is started in an empty folder.

    Args:
        folder: The folder.
        kills: How many.
        seed: Chooses services and moments.
    """
    tell(f"seed={seed}")
    with stack_with_table(folder) as table:
        damage = kill_at_random(table, random.Random(seed), kills)  # noqa: S311 (no seed protects anything here)
    tell(str(damage))
    return damage


def main(arguments: Iterable[str] | None = None) -> int:
    """Run it, and say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--seed", help="default: a random one, which is printed")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        damage = damage_on_a_stack(Path(folder), options.kills, seed_of(options.seed))
    print(damage.problems(), file=sys.stderr)
    return int(bool(damage.problems()))


if __name__ == "__main__":
    sys.exit(main())
