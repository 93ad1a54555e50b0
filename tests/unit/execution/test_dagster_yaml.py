"""What dagster.yaml must hold for the rest to be true."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import process_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.test_utils import instance_for_test
from dagster_postgres.utils import pg_url_from_config

from dagma.defs.retention import prune_job
from dagma.execution.health import DAEMONS
from dagma.execution.launcher import CeleryRunLauncher
from dagma.execution.storage import PostgresStorage
from dagma.execution.worker_roll_call import SILENCE_SECONDS

HOME = Path(__file__).parents[3] / "dagster_home"
ENVIRONMENT = {
    "DAGSTER_PG_HOST": "postgres",
    "DAGSTER_PG_PORT": "5432",
    "DAGSTER_PG_DB": "dagster",
    "DAGSTER_PG_USER": "dagster",
    "DAGSTER_PG_PASSWORD": "x",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_RESULT_BACKEND": "redis://127.0.0.1:1/1",
    "DAGMA_STORAGE_DIR": "/var/lib/dagma",
    "DAGMA_MAX_CONCURRENT_RUNS": "6",
}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> InstanceRef:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return InstanceRef.from_dir(str(HOME))


def settings(path: str = "dagster.yaml") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((HOME / path).read_text())
    return loaded


def test_connections_to_postgresql_are_kept(stack: InstanceRef) -> None:
    assert stack.storage_data is not None
    assert (stack.storage_data.module_name, stack.storage_data.class_name) == (
        "dagma.execution.storage",
        PostgresStorage.__name__,
    )
    config = process_config(PostgresStorage.config_type(), settings()["storage"]["custom"]["config"])
    assert config.success, config.errors
    assert config.value is not None
    assert pg_url_from_config(config.value) == "postgresql://dagster@postgres:5432/dagster"


def test_every_storage_keeps_its_connections() -> None:
    storage: Any = PostgresStorage("postgresql://nobody@127.0.0.1:1/none", should_autocreate_tables=False)
    for each in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
        assert each._engine.pool.size() == 2, "Dagster has renamed where a storage holds it"


def test_no_more_runs_are_launched_than_the_workers_have_slots(stack: InstanceRef) -> None:
    coordinator = stack.run_coordinator
    assert isinstance(coordinator, QueuedRunCoordinator)
    assert coordinator.get_run_queue_config().max_concurrent_runs == 6


def test_one_prune_runs_at_a_time(stack: InstanceRef) -> None:
    coordinator = stack.run_coordinator
    assert isinstance(coordinator, QueuedRunCoordinator)
    (limit,) = coordinator.get_run_queue_config().tag_concurrency_limits
    assert limit["limit"] == 1
    assert limit["key"] in prune_job.tags


def test_the_health_check_knows_every_daemon_that_the_instance_requires() -> None:
    ours = settings()
    # Storage and launcher need servers; which daemons are required depends on the rest.
    overrides = {name: value for name, value in ours.items() if name not in ("storage", "run_launcher", "compute_logs")}
    overrides.pop("local_artifact_storage")
    overrides["run_queue"] = {**ours["run_queue"], "max_concurrent_runs": 2}
    with instance_for_test(overrides=overrides) as instance:
        assert len(instance.get_required_daemon_types()) == DAEMONS


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []
    monkeypatch.setattr(PostgresStorage, "__init__", lambda _self, url, *_: opened.append(url))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("DAGSTER_PG_PASSWORD", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        (tmp_path / name).write_text(f"{ENVIRONMENT[name]}-of-the-file\n")
        monkeypatch.delenv(name)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    instance = InstanceRef.from_dir(str(HOME))
    assert instance.storage_data is not None
    instance.storage_data.rehydrate(PostgresStorage)
    assert opened == ["postgresql://dagster:x-of-the-file@postgres:5432/dagster"]
    launcher = instance.run_launcher
    assert isinstance(launcher, CeleryRunLauncher)
    assert launcher.celery.conf.broker_url == "redis://127.0.0.1:1/0-of-the-file"
    assert launcher.celery.conf.result_backend == "redis://127.0.0.1:1/1-of-the-file"


def test_no_value_that_may_be_secret_stands_in_the_file() -> None:
    postgres = settings()["storage"]["custom"]["config"]["postgres_db"]
    assert "password" not in postgres
    assert all(list(value) == ["env"] for value in postgres.values())
    assert "config" not in settings()["run_launcher"]


def test_a_dead_worker_is_found_and_its_run_retried_within_a_minute() -> None:
    monitoring = settings()["run_monitoring"]
    assert SILENCE_SECONDS + 2 * monitoring["poll_interval_seconds"] < 60
    assert settings()["run_retries"] == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}


@pytest.mark.parametrize("path", ["dagster.yaml", "dev/dagster.yaml"])
def test_nothing_is_reported_and_a_cancel_is_not_swallowed(path: str) -> None:
    assert settings(path)["telemetry"] == {"enabled": False}
    assert settings(path)["nux"] == {"enabled": False}
    assert settings(path)["run_monitoring"].get("max_resume_run_attempts", 0) == 0


def test_the_instance_of_make_dev_needs_no_environment(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((HOME / "dev" / "dagster.yaml").read_text())
    reference = InstanceRef.from_dir(str(tmp_path))
    assert isinstance(reference.run_coordinator, QueuedRunCoordinator)


def test_the_workspace_has_the_code_servers_of_the_stack() -> None:
    locations = [each["grpc_server"] for each in yaml.safe_load((HOME / "workspace.yaml").read_text())["load_from"]]
    assert locations == [
        {"host": "user-code", "port": 4000, "location_name": "dagma"},
        {"host": "project-code", "port": 4000, "location_name": "project"},
    ]
