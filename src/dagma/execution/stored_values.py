"""Where the values of assets are kept: in files, as Dagster keeps them by default."""

from typing import Any

import dagster as dg
from dagster._core.storage.fs_io_manager import PickledObjectFilesystemIOManager
from typing_extensions import override


class StoredValues(PickledObjectFilesystemIOManager):
    """Dagster's files, without their path in the metadata: it is one inside of a container."""

    @override
    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        super().handle_output(context, obj)
        context.consume_logged_metadata()


# An empty shape: the schema of Dagster's own lets a run's config choose the folder, from the environment as well.
@dg.io_manager(config_schema={}, description="Keeps the values of assets in files of Dagster's storage.")
def stored_values(context: dg.InitResourceContext) -> StoredValues:
    """Keep them where dagster.yaml says, under `local_artifact_storage`."""
    instance = context.instance
    if instance is None:
        raise dg.DagsterInvariantViolationError("Values are stored by the runs of a Dagster instance only.")
    return StoredValues(instance.storage_directory())  # type: ignore[no-untyped-call]
