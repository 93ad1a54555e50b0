"""A table on a running stack: it grows, is materialized, and each of its rows is judged by who has seen it.

Three sides tell of a row: the table in Postgres, the ledger, and the LLM, which records what it is asked.
"""

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chaos.calls import json_rows
from chaos.evidence import RunEnd
from chaos.faults import docker
from chaos.llm_log import LlmRequest
from chaos.recording_llm import answer_to
from chaos.row_evidence import Outage, RowEvidence
from chaos.runs import Runs
from harness.stack import ROOT, SLOT, Stack, fresh_stack, wait_until
from stack.conftest import Dagster

from dagma.execution.webserver import Webserver, WebserverError

OVERLAY = "tests/chaos/docker-compose.yml"
ASSET, JOB = "rows_answered", "rows_job"
TABLE = f"""
type: dagma.FlowTable
attributes:
  asset: {ASSET}
  flow: assistant
  rows: {{csv: data/rows.csv}}
  key: id
  input: "row {{{{ row.id }}}}"
"""
JOB_OF_TABLE = f'import dagster as dg\n\n{JOB} = dg.define_asset_job("{JOB}", ["{ASSET}"])\n'
ANSWERS = f"SELECT id, answer FROM {ASSET}"  # noqa: S608 (a constant)
MOST_MATERIALIZATIONS = 5
MATERIALIZATION_SECONDS = 600.0
SETTLE_SECONDS = 2.0
"""What a straggling request is given to appear in the log of the LLM."""


@dataclass(frozen=True)
class Materialization:
    """A run that was launched, and when, in monotonic seconds."""

    run_id: str
    launched: float


class Table:
    """The table of a stack that `stack_with_table` has started.

    Args:
        stack: The stack.
        csv: The file of its rows, which the stack reads.
    """

    def __init__(self, stack: Stack, csv: Path) -> None:
        self.stack = stack
        self.dagster = Dagster(Webserver(stack.dagster_url, location="project"))
        self.outages: list[Outage] = []
        self.rows = 0
        self._runs = Runs(self.dagster)
        self._csv = csv
        self._llm = stack.container("llm").id

    def add_rows(self, count: int) -> None:
        """Append rows, each with a question of its own."""
        with self._csv.open("a") as lines:
            lines.writelines(f"{self.rows + number}\n" for number in range(1, count + 1))
        self.rows += count

    def launch(self) -> Materialization:
        """Materialize it, on a stack that is whole."""
        self.stack.wait_ready()
        launched = time.monotonic()
        return Materialization(wait_until("the launch", self._try_launch, seconds=90), launched)

    def wait(self, materialization: Materialization, seconds: float) -> None:
        """Wait until so many seconds after the launch."""
        time.sleep(max(materialization.launched + seconds - time.monotonic(), 0.0))

    def finish(self, materialization: Materialization, seconds: float) -> list[RunEnd]:
        """Follow a run and its retries to the end of the last one.

        Raises:
            TimeoutError: It takes longer than so many seconds.
        """
        ends = self._runs.follow(materialization.run_id, materialization.launched + seconds)
        # A run that was given up for dead can still live, and report its own end.
        return [self._runs.end_of(end.run_id, time.monotonic() + 60) for end in ends]

    def materialize_until_done(self) -> int:
        """Materialize it until no row is without an answer; return how often.

        Raises:
            AssertionError: It never is.
        """
        ends: list[RunEnd] = []
        for number in range(1, MOST_MATERIALIZATIONS + 1):
            ends += self.finish(self.launch(), MATERIALIZATION_SECONDS)
            if ends[-1].status == "SUCCESS" and not ends[-1].metadata["rows_failed"]:
                return number
        raise AssertionError(f"not done: {[(end.status, end.metadata) for end in ends]}\n{self.log_of(ends[-1])}")

    def kill(self, service: str) -> None:
        """Kill a service, wait until it is healthy again, and remember that time."""
        began = datetime.now(UTC)
        self.stack.kill(service)
        self.stack.wait_health(service, "healthy", seconds=240)
        self.outages.append(Outage(service, began, datetime.now(UTC)))

    def cancel(self, materialization: Materialization) -> float | None:
        """Cancel a run as a user does; return after how many seconds it has ended, None where it had ended before."""
        began = time.monotonic()
        try:
            self.dagster.terminate(materialization.run_id)
        except AssertionError:
            return None
        self._runs.end_of(materialization.run_id, began + 120)
        return time.monotonic() - began

    def requests(self) -> dict[str, list[LlmRequest]]:
        """What the LLM was asked, by question."""
        return read_records(docker("logs", self._llm))

    def evidence(self) -> list[RowEvidence]:
        """Collect what is known of each row."""
        time.sleep(SETTLE_SECONDS)
        stored = dict(line.split("|", 1) for line in self.stack.sql("tables", ANSWERS).splitlines())
        calls = defaultdict(list)
        for call in json_rows(self.stack.exec("worker", "dagma", "ledger", "export", "--format", "jsonl")):
            calls[call["row_key"]].append(call)
        requests = self.requests()
        return [
            RowEvidence(
                key=key,
                is_answered=stored.get(key) == answer_to(f"row {key}"),
                calls=calls[key],
                requests=requests.get(f"row {key}", []),
                outages=self.outages,
            )
            for key in map(str, range(1, self.rows + 1))
        ]

    def log_of(self, end: RunEnd) -> str:
        """The log of a run."""
        return "\n".join(self._runs.log_of(end.run_id))

    def _try_launch(self) -> str | None:
        try:
            return self.dagster.webserver.launch(JOB, {}, tags={})
        except WebserverError:
            return None  # in the seconds in which the webserver finds a restarted code server again


@contextmanager
def stack_with_table(folder: Path) -> Iterator[Table]:
    """Start a stack of its own with an empty table and the LLM that records; remove it at the end.

    Args:
        folder: An empty folder.
    """
    project = folder / "project"
    for part in ("data", f"defs/{ASSET}"):
        (project / part).mkdir(parents=True)
    for file in ("dg.toml", "defs/__init__.py"):
        shutil.copy(ROOT / "project" / file, project / file)
    (project / "defs" / ASSET / "defs.yaml").write_text(TABLE)
    (project / "defs" / "rows_job.py").write_text(JOB_OF_TABLE)
    (project / "data" / "rows.csv").write_text("id\n")
    for path in [project, *project.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)  # the containers' users read it
    settings = {
        # Beside the stack of the other tests.
        "COMPOSE_PROJECT_NAME": f"dagma-tables{SLOT or ''}",
        "DAGSTER_PORT": str(13200 + SLOT),
        "LANGFLOW_PORT": str(18060 + SLOT),
        "DAGMA_PROJECT_MOUNT": f"{project}:/opt/project/current",
        "DAGMA_SCHEDULES_RUNNING": "false",
    }
    with fresh_stack(folder, OVERLAY, **settings) as stack:
        yield Table(stack, project / "data" / "rows.csv")


def read_records(log: str) -> dict[str, list[LlmRequest]]:
    """Read what `recording_llm.py` has printed: the requests by question, in the order in which they began."""
    begun: dict[int, tuple[str, datetime]] = {}
    ended: dict[int, datetime] = {}
    for line in log.splitlines():
        if not line.startswith('{"at"'):
            continue
        record = json.loads(line)
        number, at = record["request"], datetime.fromisoformat(record["at"])
        if record["answered"]:
            ended[number] = at
        else:
            begun[number] = (record["asked"], at)
    requests: dict[str, list[LlmRequest]] = defaultdict(list)
    for number, (asked, at) in sorted(begun.items()):
        requests[asked].append(LlmRequest(at, ended.get(number), completed=number in ended))
    return requests


def answered_of(requests: dict[str, list[LlmRequest]], first: int, last: int) -> int:
    """Count the rows from one number to another whose question the LLM has answered."""
    return sum(any(each.completed for each in requests.get(f"row {key}", ())) for key in range(first, last + 1))


def problems_of(rows: Sequence[RowEvidence]) -> str:
    """Say everything that is wrong, a line for each row; empty where nothing is."""
    return "\n".join(row.report() for row in rows if row.problems())
