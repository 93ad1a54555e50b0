"""The plain way to ask a flow about rows in Dagster: a dynamic output and a step for each, on Dagster's own executor.

Usage: python -m bench.dynamic_mapping ROWS FLOW_ID    Needs LANGFLOW_BASE_URL and LANGFLOW_API_KEY. It prints seconds.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator

import dagster as dg
import requests

from dagma import environment

ROWS, FLOW = "DAGMA_BENCH_ROWS", "DAGMA_BENCH_FLOW"


@dg.op(out=dg.DynamicOut(str))
def rows() -> Iterator[dg.DynamicOutput[str]]:
    """Give the rows."""
    for number in range(int(os.environ[ROWS])):
        yield dg.DynamicOutput(f"ping {number}", mapping_key=str(number))


@dg.op
def answer(question: str) -> str:
    """Ask about one row."""
    response = requests.post(
        f"{os.environ['LANGFLOW_BASE_URL']}/api/v1/run/{os.environ[FLOW]}",
        json={"input_value": question, "input_type": "chat", "output_type": "chat"},
        headers={"x-api-key": environment.text("LANGFLOW_API_KEY", "")},
        timeout=60,
    )
    response.raise_for_status()
    return str(response.json()["outputs"][0]["outputs"][0]["results"]["message"]["text"])


@dg.op
def table(answers: list[str]) -> int:
    """Put the answers together."""
    return len(answers)


@dg.job
def plain_way() -> None:
    """Ask about all rows."""
    table(rows().map(answer).collect())


def main(count: str, flow_id: str) -> float:
    """Run it; return the seconds that it took."""
    os.environ.update({ROWS: count, FLOW: flow_id})
    quiet = {"telemetry": {"enabled": False}}  # which would write to DAGSTER_HOME, and a container's can't be written
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder, quiet) as instance:
        started = time.monotonic()
        done = dg.execute_job(dg.reconstructable(plain_way), instance=instance, raise_on_error=True)
        with done:
            assert done.output_for_node("table") == int(count)
        return time.monotonic() - started


if __name__ == "__main__":
    # Its processes import the job from a module, and not from the script that was started.
    from bench import dynamic_mapping

    print(dynamic_mapping.main(*sys.argv[1:]))
