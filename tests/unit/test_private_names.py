"""Every private name of another library that this package uses, and why: an upgrade that moves one fails here first."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "dagma"
LIBRARIES = ("celery", "dagster", "dagster_celery", "dagster_postgres", "dagster_webserver", "kombu", "urllib3")
TAGS = "the constants behind Dagster's own tags are not exported"
IMPORTED = {
    "dagster._cli": (["dev"], "`dagster dev` starts the webserver by a module name, which `make dev` replaces"),
    "dagster._config.config_schema": (["UserConfigSchema"], "annotates the schema of an instance's class"),
    "dagster._config.pythonic_config.resource": (
        ["ConfigurableResourceFactoryResourceDefinition"],
        "annotates an override of get_resource_definition",
    ),
    "dagster._core.events": (["EngineEventData", "RunFailureReason"], "what a run's log is made of, and why it failed"),
    "dagster._core.execution.backfill": (
        ["BULK_ACTION_TERMINAL_STATUSES", "BulkActionStatus"],
        "to find backfills that go on, and those that have ended",
    ),
    "dagster._core.execution.retries": (["auto_reexecution_should_retry_run"], "the daemon's own rule for retries"),
    "dagster._core.launcher": (["CheckRunHealthResult", "WorkerStatus"], "what a launcher's health check returns"),
    "dagster._core.storage.dagster_run": (["FINISHED_STATUSES"], "Dagster's own set"),
    "dagster._core.storage.event_log.schema": (["AssetCheckExecutionsTable"], "no API deletes these rows"),
    "dagster._core.storage.event_log.sql_event_log": (["SqlEventLogStorage"], "to know that rows can be deleted"),
    "dagster._core.storage.fs_io_manager": (["PickledObjectFilesystemIOManager"], "the base of the IO manager"),
    "dagster._core.storage.tags": (
        [
            "ASSET_PARTITION_RANGE_END_TAG",
            "ASSET_PARTITION_RANGE_START_TAG",
            "ASSET_RESUME_RETRY_TAG",
            "AUTOMATION_CONDITION_TAG",
            "AUTO_MATERIALIZE_TAG",
            "AUTO_RETRY_RUN_ID_TAG",
            "BACKFILL_ID_TAG",
            "PARTITION_NAME_TAG",
            "REPORTING_USER_TAG",
            "RESUME_RETRY_TAG",
            "RETRY_NUMBER_TAG",
            "RETRY_STRATEGY_TAG",
            "RUN_FAILURE_REASON_TAG",
            "SCHEDULE_NAME_TAG",
            "SENSOR_NAME_TAG",
            "WILL_RETRY_TAG",
        ],
        TAGS,
    ),
    "dagster._core.workspace.context": (
        ["WorkspaceRequestContext"],
        "what the webserver's resolvers work with",
    ),
    "dagster._serdes": (["ConfigurableClassData"], "where an instance's class was configured"),
}
OVERRIDDEN = {
    "urllib3.connection:HTTPConnection._new_conn": "where a socket is made, before its TLS handshake",
    "urllib3.connection:HTTPConnection._tunnel": "where a proxy has answered, before the server's TLS handshake",
    "urllib3.connectionpool:HTTPConnectionPool._put_conn": "where a connection begins to idle",
    "urllib3.connectionpool:HTTPConnectionPool._get_conn": "where one that idled too long is taken out",
    "dagster_celery.launcher:_get_run_priority": "the library's own reading of its tag",
    "dagster_celery.launcher:CeleryRunLauncher._launch_celery_task_run": "where a task is sent, to name it by its run",
}


def private_imports() -> Iterator[tuple[str, str]]:
    """Each name that the package imports from a private module of another library."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] not in LIBRARIES:
                continue
            for alias in node.names:
                if "._" in f".{node.module}.{alias.name}":
                    yield str(node.module), alias.name


def test_every_private_name_that_is_imported_is_listed_and_no_other() -> None:
    listed = {(module, name) for module, (names, _reason) in IMPORTED.items() for name in names}
    assert set(private_imports()) == listed


@pytest.mark.parametrize("module", IMPORTED)
def test_the_installed_library_has_it(module: str) -> None:
    names, reason = IMPORTED[module]
    missing = [name for name in names if not hasattr(importlib.import_module(module), name)]
    assert missing == [], f"needed: {reason}"


@pytest.mark.parametrize("place", OVERRIDDEN)
def test_the_installed_library_has_what_is_overridden(place: str) -> None:
    module, _, path = place.partition(":")
    found = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    assert callable(found), f"needed: {OVERRIDDEN[place]}"
