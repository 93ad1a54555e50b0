"""Runs of the asset over a fake Langflow and a real ledger on SQLite, with retries as Dagster makes them."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from sqlalchemy.exc import OperationalError
from unit.calls.quick_policy import policy, set_policy

from dagma.backends.backend import Backend
from dagma.backends.langflow.langflow_resource import langflow_from_environment
from dagma.defs.llm.assets import langflow_run_flow
from dagma.ledger import LedgerSettings
from dagma.ledger.reports import all_calls
from dagma.testing import FakeAnswer, FakeCall, FakeLangflow, Fault, RecordedRequest

ASSET = "langflow_run_flow"
FLOW_ID = "5c0ffee0-2222-4000-8000-000000000001"
# A Langflow that can't be asked for what became of a call.
NO_HISTORY = Fault(path="/api/v1/monitor", status=404, times=0)
SETTINGS = ("LANGFLOW_MODE", "LANGFLOW_JOB_TIMEOUT_SECONDS", "LANGFLOW_TIMEOUT_SECONDS", "DAGMA_RECORD_TEXTS")


class Flow:
    """What the fake flow does: repeat the input, once it is let go."""

    def __init__(self) -> None:
        self.goes = threading.Event()
        self.goes.set()
        self.answered = 0
        self.raises: Exception | None = None

    def __call__(self, call: FakeCall) -> FakeAnswer:
        self.goes.wait(30)
        self.answered += 1
        if self.raises is not None:
            raise self.raises
        return FakeAnswer(f"You said {call.input_value}.", model="gpt-4o", input_tokens=30, output_tokens=8)


@pytest.fixture
def flow() -> Flow:
    return Flow()


@pytest.fixture
def fake(flow: Flow, ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLangflow]:
    """A fake Langflow, and an environment that points to it and to a ledger of the test's own."""
    for name in [*SETTINGS, *(name for name in os.environ if name.startswith(("DAGMA_LEDGER_", "DAGMA_QUOTAS")))]:
        monkeypatch.delenv(name, raising=False)
    with FakeLangflow(keepalive=0.5) as fake:
        fake.add_flow("Assistant", flow, flow_id=FLOW_ID, endpoint_name="assistant")
        monkeypatch.setenv("LANGFLOW_BASE_URL", fake.base_url)
        monkeypatch.setenv("LANGFLOW_PUBLIC_URL", "http://langflow.example")
        monkeypatch.setenv("LANGFLOW_API_KEY", fake.api_key)
        monkeypatch.setenv("LANGFLOW_DEFAULT_FLOW_ID", FLOW_ID)
        monkeypatch.setenv("DAGMA_LEDGER_URL", ledger_url)
        monkeypatch.setenv("DAGMA_LEDGER_TEXTS", "full")
        yield fake
        flow.goes.set()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    set_policy(monkeypatch, step_retries=2, first_step_wait_seconds=0.01)


@dataclass(frozen=True)
class Ran:
    """A run of the asset that is over."""

    run: dg.DagsterRun
    events: list[dg.DagsterEvent]
    instance: dg.DagsterInstance

    @property
    def success(self) -> bool:
        return self.instance.get_run_by_id(self.run.run_id).status is dg.DagsterRunStatus.SUCCESS  # type: ignore[union-attr]

    @property
    def status(self) -> dg.DagsterRunStatus:
        return self.instance.get_run_by_id(self.run.run_id).status  # type: ignore[union-attr]

    @property
    def value(self) -> Any:
        """What the asset returned, as it is stored."""
        return dg.Definitions(assets=[dg.AssetSpec(ASSET)]).load_asset_value(ASSET, instance=self.instance)

    @property
    def is_materialized(self) -> bool:
        return any(event.is_step_materialization for event in self.events)

    @property
    def metadata(self) -> dict[str, Any]:
        (event,) = [event for event in self.events if event.is_step_materialization]
        materialization = event.step_materialization_data.materialization
        return {label: entry.value for label, entry in materialization.metadata.items()}

    @property
    def failure(self) -> dict[str, Any]:
        (event,) = [event for event in self.events if event.is_step_failure]
        data = event.step_failure_data.user_failure_data
        assert data is not None, event.step_failure_data.error
        return {"description": data.description, **{label: entry.value for label, entry in data.metadata.items()}}

    @property
    def retries(self) -> int:
        return len([event for event in self.events if event.is_step_up_for_retry])

    @property
    def log(self) -> list[str]:
        """What the step told people, in order."""
        records = self.instance.all_logs(self.run.run_id)
        return [record.user_message for record in records if record.dagster_event is None]


def asset_job(backend: Backend | None = None, *assets: dg.AssetsDefinition) -> dg.JobDefinition:
    defs = dg.Definitions(
        assets=assets or [langflow_run_flow],
        resources={"backend": backend or langflow_from_environment(policy())},
        executor=dg.in_process_executor,
    )
    return defs.resolve_implicit_global_asset_job_def()


def execute(
    instance: dg.DagsterInstance,
    *,
    parent: Ran | dg.DagsterRun | None = None,
    retry: bool = False,
    tags: dict[str, str] | None = None,
    job: dg.JobDefinition | None = None,
    **config: Any,
) -> Ran:
    """Run the asset; as the retry of a parent, as Dagster's daemon makes it, or from scratch."""
    job = job or asset_job()
    before = parent.run if isinstance(parent, Ran) else parent
    run = instance.create_run_for_job(
        job,
        run_config={"ops": {ASSET: {"config": config}}} if config else {},
        tags={**(tags or {}), **({"dagster/retry_number": "1"} if retry else {})},
        parent_run_id=before and before.run_id,
        root_run_id=before and (before.root_run_id or before.run_id),
    )
    execute_run(InMemoryJob(job), run, instance, raise_on_error=False)
    records = instance.all_logs(run.run_id)
    return Ran(run, [record.dagster_event for record in records if record.dagster_event is not None], instance)


def rows() -> list[dict[str, Any]]:
    """The ledger's rows, oldest first."""
    database = LedgerSettings.from_environment().open().database
    return [dict(row) for row in all_calls(database)]


def sends(fake: FakeLangflow) -> list[RecordedRequest]:
    """The requests that run a flow."""
    return [
        request
        for request in fake.requests
        if request.method == "POST" and (request.path.startswith("/api/v1/run") or request.path == "/api/v2/workflows")
    ]


def wait_for(what: str, probe: Any, seconds: float = 20.0) -> Any:
    """Ask until there is an answer. An instance in memory locks its tables, and does not wait for another thread's."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OperationalError):
            if found := probe():
                return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.01)
