"""Who may do what in Dagster: the role that each mutation and route of its webserver takes.

What stands in none of these tables is refused to everybody who comes through the gateway, so that a new version of
Dagster gives nobody a right that it did not have before.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum


class Role(IntEnum):
    """What somebody may do; each role may do what those below it may."""

    VIEWER = 1
    """Reads."""
    EDITOR = 2
    """Launches and terminates runs, switches schedules and sensors."""
    ADMIN = 3
    """Deletes, reloads, and changes settings."""

    def __str__(self) -> str:
        """Give the word that stands in the gateway's header."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Role | None":
        """Read the word of the gateway's header; None for any other."""
        return next((role for role in cls if str(role) == word), None)


def _by_name(names: Mapping[Role, Iterable[str]]) -> dict[str, Role]:
    return {name: role for role, listed in names.items() for name in listed}


MUTATIONS = _by_name(
    {
        # Neither changes anything of Dagster: whether a hint was seen, and telemetry, which the stack turns off.
        Role.VIEWER: ("logTelemetry", "setNuxSeen"),
        Role.EDITOR: (
            *("launchPipelineExecution", "launchRun", "launchMultipleRuns"),
            *("launchPipelineReexecution", "launchRunReexecution"),
            *("terminatePipelineExecution", "terminateRun", "terminateRuns"),
            *("launchPartitionBackfill", "reexecutePartitionBackfill", "resumePartitionBackfill"),
            "cancelPartitionBackfill",
            *("startSchedule", "stopRunningSchedule", "resetSchedule", "scheduleDryRun"),
            *("startSensor", "stopSensor", "resetSensor", "setSensorCursor", "sensorDryRun"),
            "addDynamicPartition",
            *("reportRunlessAssetEvents", "reportAssetCheckEvaluations"),
        ),
        Role.ADMIN: (
            *("deletePipelineRun", "deleteRun", "wipeAssets", "deleteDynamicPartitions"),
            *("reloadRepositoryLocation", "reloadWorkspace", "shutdownRepositoryLocation", "refreshComponentState"),
            *("setAppManagedComponent", "deleteAppManagedComponent"),
            *("setConcurrencyLimit", "deleteConcurrencyLimit", "freeConcurrencySlots", "freeConcurrencySlotsForRun"),
            "setAutoMaterializePaused",
        ),
    }
)
"""By the name of a field of the type `Mutation` in Dagster's GraphQL schema."""

ROUTES = _by_name(
    {
        Role.VIEWER: (
            *("/", "/{path:path}", "/server_info", "/dagit_info"),
            # Its mutations have roles of their own.
            "/graphql",
            *("/logs/{path:path}", "/download_debug/{run_id:str}", "/notebook", "/dagit/notebook"),
        ),
        Role.EDITOR: (
            "/report_asset_materialization/{asset_key:path}",
            "/report_asset_check/{asset_key:path}",
            "/report_asset_observation/{asset_key:path}",
        ),
    }
)
"""By the path of a route, as Dagster writes it. Its static files, which anybody can get on PyPI, are a viewer's."""
