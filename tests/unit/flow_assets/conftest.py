"""A Langflow with flows, a project beside it, and what becomes of both in Dagster."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from unit.cli.fake_dagster import FakeDagster
from unit.cli.fake_dagster import dagster as dagster

from dagma import flow_assets
from dagma.project_definitions import with_defaults
from dagma.testing import FakeLangflow


@pytest.fixture
def langflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dagster: FakeDagster) -> Iterator[FakeLangflow]:
    """A Langflow, and an environment that points to it, and to a webserver of Dagster."""
    for name in ("DAGSTER_HOME", "LANGFLOW_DEFAULT_FLOW_ID", "LANGFLOW_MODE", "DAGMA_RECORD_TEXTS", "DAGMA_TIMEZONE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("DAGMA_PROJECT_DIR", str(tmp_path / "project"))
    monkeypatch.setenv("DAGMA_FLOWS_DIR", str(tmp_path / "flows"))
    monkeypatch.setenv("DAGMA_STORAGE_DIR", str(tmp_path / "storage"))
    monkeypatch.setenv("DAGMA_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    monkeypatch.setenv("LANGFLOW_PUBLIC_URL", "http://langflow.example")
    with FakeLangflow() as fake:
        monkeypatch.setenv("LANGFLOW_BASE_URL", fake.base_url)
        monkeypatch.setenv("LANGFLOW_API_KEY", fake.api_key)
        yield fake


def specs_of(defs: dg.Definitions) -> dict[str, dg.AssetSpec]:
    """The assets that the definitions make, by key."""
    return {spec.key.to_user_string(): spec for spec in with_defaults(defs).resolve_all_asset_specs()}


def look(defs: dg.Definitions, cursor: str | None = None) -> tuple[str | None, str | None]:
    """Evaluate the sensor: what it says, and its cursor afterwards."""
    (sensor,) = defs.sensors or []
    assert isinstance(sensor, dg.SensorDefinition)
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance, cursor=cursor) as context:
        ticked = sensor.evaluate_tick(context)
    return ticked.skip_message, ticked.cursor


def seen(**options: Any) -> dg.Definitions:
    """The definitions of flows, once the server was asked."""
    look(flow_assets(**options))
    return flow_assets(**options)


def materialize(
    defs: dg.Definitions, key: str, config: Mapping[str, Any] | None = None, **options: Any
) -> dg.ExecuteInProcessResult:
    """Materialize one asset."""
    assets = [asset for asset in defs.assets or [] if isinstance(asset, dg.AssetsDefinition) and asset.op.name == key]
    return dg.materialize(
        assets,
        resources=with_defaults(defs).resources,
        run_config={"ops": {key: {"config": dict(config or {})}}},
        raise_on_error=False,
        **options,
    )


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """What is shown beside the materialization."""
    (event,) = result.get_asset_materialization_events()
    return {label: entry.value for label, entry in event.materialization.metadata.items()}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """Why the step failed."""
    (event,) = result.filter_events(lambda event: event.is_step_failure)
    return str(event.step_failure_data.user_failure_data.description)
