"""The sensor by which an edit in Langflow's canvas reaches Dagster: it looks for changes and has definitions reloaded.

Definitions are what a code server has loaded; no sensor changes them. So this one keeps what it finds where the next
load reads it, asks the webserver to reload the code location, and has workers take processes that load it too.
"""

from collections.abc import Callable

import dagster as dg

from dagma.execution.webserver import Webserver
from dagma.flows.known_flows import FolderFlows, fingerprint_of
from dagma.flows.outline import FlowOutline
from dagma.project import mark_definitions_changed

EVERY_SECONDS = 15
# When an evaluation reads no more flows: Dagster gives it up after 60 seconds.
READING_SECONDS = 20.0


def flow_changes_sensor(
    name: str, flows: FolderFlows, loaded: str, takes: Callable[[FlowOutline], bool]
) -> dg.SensorDefinition:
    """Make the sensor.

    Args:
        name: Its name.
        flows: Where the flows come from.
        loaded: The fingerprint of the flows that this process has made assets of.
        takes: Tells which flows become assets.
    """

    @dg.sensor(
        name=name,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reloads this code location when a flow was edited, added, renamed or removed.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        found = fingerprint_of(filter(takes, flows.renew(takes, READING_SECONDS)))
        if found == loaded:
            return dg.SkipReason("The assets are those of the flows.")
        asked = f"{found} instead of {loaded}"
        if context.cursor == asked:
            # Asked before, by this very process: it was not replaced, and asking again would change nothing.
            return dg.SkipReason(
                "Flows have changed since this code location was loaded, and reloading it has not loaded them. "
                "Restart its code server."
            )
        mark_definitions_changed(name, found)  # for the workers, before runs of what is new can be launched
        origin = context.code_location_origin
        location = origin.location_name if origin is not None else "project"
        Webserver.from_environment().at(location).reload()
        context.update_cursor(asked)
        return dg.SkipReason(f"Flows have changed: the code location {location!r} was reloaded.")

    return look
