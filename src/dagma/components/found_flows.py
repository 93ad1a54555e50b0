"""Flows that no definition names: what somebody calls one in Langflow must not keep the project from loading.

Dagster refuses all definitions of a code location where two of them have one name. The sensor that would load better
ones is among them.
"""

import logging
from typing import Any

import dagster as dg
from dagster_shared.record import copy

logger = logging.getLogger(__name__)

FOUND_FLOW = "dagma/found_flow"
"""Marks the step and the schedule of a flow that was only found; its value tells the flow."""


def without_flows_of_taken_names(project: dg.Definitions) -> dg.Definitions:
    """Leave out, with a warning, each flow that was only found and has a name that something else of the project has.

    Args:
        project: All definitions of the code location, in any order, with the resources that they need.
    """
    found: dict[str, Any] = {mark: asset for asset in project.assets or [] if (mark := _mark(asset))}
    try:
        project.get_repository_def()
        return project
    except dg.DagsterError:
        if not found:
            raise
    taken = _names(_without(project, set(found)))
    left_out = set()
    for mark, asset in found.items():
        names = {asset.op.name, f"{asset.op.name}_schedule"}
        if clash := names & taken:
            left_out.add(mark)
            logger.warning(
                "The flow %s is not an asset, because the project has another %r. Give it another key, as in "
                "flows: {ID OF THE FLOW: {key: another}}, or rename it.",
                mark,
                min(clash),
            )
        taken |= names
    return _without(project, left_out)


def _without(project: dg.Definitions, marks: set[str]) -> dg.Definitions:
    return copy(
        project,
        assets=[asset for asset in project.assets or [] if _mark(asset) not in marks],
        schedules=[schedule for schedule in project.schedules or [] if _mark(schedule) not in marks],
    )


def _mark(definition: Any) -> str:
    """Tell which found flow a definition is of; empty where it is of none."""
    if isinstance(definition, dg.ScheduleDefinition):
        mark = definition.metadata.get(FOUND_FLOW)
        return str(mark.value) if mark else ""
    if isinstance(definition, dg.AssetsDefinition) and definition.is_executable:
        return str(definition.node_def.tags.get(FOUND_FLOW, ""))
    return ""


def _names(project: dg.Definitions) -> set[str]:
    """List the names of assets, jobs, their steps, schedules and sensors. A flow has none that another kind has."""
    repository = project.get_repository_def()
    jobs = repository.get_all_jobs()
    named: list[Any] = [*jobs, *(node for job in jobs for node in job.all_node_defs)]
    named += [*repository.schedule_defs, *repository.sensor_defs]
    return {each.name for each in named} | {key.to_python_identifier() for key in project.resolve_all_asset_keys()}
