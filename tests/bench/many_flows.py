"""How long a code location takes to load where a Langflow has many flows, each of which is an asset.

Usage: python -m bench.many_flows [FLOWS]
It needs no container. Each load is a process of its own, as in the code server; that of a project without flows tells
how much of it is Dagster's own start. Flows that were not seen yet are read by the sensor: that is measured apart.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from bench.figures import Figure
from harness.stack import ROOT

from dagma import flow_assets
from dagma.execution.webserver import WebserverError
from dagma.testing import FakeLangflow

FLOWS = 1_000
LOADS = 5
TARGET = "<5"
FLOW = ROOT / "flows" / "assistant.json"
LOAD = (
    "from dagma.project_definitions import defs; print(len(defs.get_repository_def().asset_graph.get_all_asset_keys()))"
)
COMPONENT = "type: dagma.Flows\n"


def fill(langflow: FakeLangflow, flows: int) -> None:
    """Draw so many flows."""
    data = json.loads(FLOW.read_text())["data"]
    saved_at = datetime.now(UTC) - timedelta(hours=1)
    for number in range(flows):
        langflow.add_flow(f"flow-{number}", flow={"data": data}, saved_at=saved_at)


def look() -> float:
    """Evaluate the sensor once; return the seconds that it took."""
    (sensor,) = flow_assets().sensors or []
    assert isinstance(sensor, dg.SensorDefinition)
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance) as context:
        began = time.perf_counter()
        with contextlib.suppress(WebserverError):  # what it has read is kept; there is no webserver to tell
            sensor.evaluate_tick(context)
    return time.perf_counter() - began


def load(assets: int) -> float:
    """Load the project in a process of its own; return the seconds that it took."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == assets, done.stderr
    return seconds


def main(flows: int = FLOWS) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder, FakeLangflow() as langflow:
        project = Path(folder) / "project"
        os.environ |= {
            "DAGMA_PROJECT_DIR": str(project),
            "DAGMA_STORAGE_DIR": f"{folder}/storage",
            "DAGMA_LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "LANGFLOW_BASE_URL": langflow.base_url,
            "LANGFLOW_API_KEY": langflow.api_key,
        }
        (project / "defs" / "flows").mkdir(parents=True)
        shutil.copy(ROOT / "project" / "dg.toml", project)
        empty = [load(0) for _ in range(LOADS)]
        fill(langflow, flows)
        print(f"the sensor reads {flows:,} flows in {look():.1f} s, and finds them unchanged in {look():.1f} s")
        (project / "defs" / "flows" / "defs.yaml").write_text(COMPONENT)
        full = [load(flows) for _ in range(LOADS)]
    print(f"a location without flows loads in {statistics.median(empty):.1f} s")
    print(Figure("location_of_many_flows", statistics.median(full), "s", TARGET))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
