"""Flows that no definition names: what somebody calls one in Langflow must not keep the project from loading.

Dagster refuses all definitions of a code location where two of them have one name. The sensor that would load better
ones is among them.
"""

import logging
from collections.abc import Iterator
from typing import Any

import dagster as dg

logger = logging.getLogger(__name__)

FOUND_FLOW = "dagma/found_flow"
"""Marks the step and the schedule of a flow that was only found; its value tells the flow."""


def without_flows_of_taken_names(project: dg.Definitions) -> dg.Definitions:
    """Leave out, with a warning, each flow that was only found and has a name that something else of the project has.

    Args:
        project: All definitions of the code location, in any order.
    """
    found = {_mark(asset): asset for asset in project.assets or [] if _mark(asset)}
    schedules = {_mark(schedule): schedule for schedule in project.schedules or [] if _mark(schedule)}
    taken = set(_names_beside_found_flows(project))
    left_out = set()
    for mark, asset in found.items():
        names = {*_names_of_asset(asset), *_names_of_trigger(schedules.get(mark))}
        if clash := names & taken:
            left_out.add(mark)
            logger.warning(
                "The flow %s is no asset, since the project has the %s %r beside it. Give it another key, as in "
                "flows: {ID OF THE FLOW: {key: another}}, or rename it.",
                mark,
                *min(clash),
            )
        else:
            taken |= names
    return _without(project, left_out) if left_out else project


def _without(project: dg.Definitions, marks: set[str]) -> dg.Definitions:
    return dg.Definitions(
        assets=[asset for asset in project.assets or [] if _mark(asset) not in marks],
        asset_checks=project.asset_checks,
        schedules=[schedule for schedule in project.schedules or [] if _mark(schedule) not in marks],
        sensors=project.sensors,
        jobs=project.jobs,
        resources=project.resources,
        executor=project.executor,
        loggers=project.loggers,
        metadata=project.metadata,
        component_tree=project.component_tree,
    )


def _mark(definition: Any) -> str:
    """Tell which found flow a definition is of; empty where it is of none."""
    if isinstance(definition, dg.ScheduleDefinition):
        mark = definition.metadata.get(FOUND_FLOW)
        return str(mark.value) if mark else ""
    if isinstance(definition, dg.AssetsDefinition) and definition.is_executable:
        return str(definition.node_def.tags.get(FOUND_FLOW, ""))
    return ""


def _names_beside_found_flows(project: dg.Definitions) -> Iterator[tuple[str, str]]:
    """Name what is of no found flow: its kind, then its name, which nothing else of the kind may have."""
    for asset in [*(project.assets or []), *(project.asset_checks or [])]:
        if not _mark(asset):
            yield from _names_of_asset(asset)
    for job in project.jobs or []:
        yield from _names_of_job(job)
    for trigger in [*(project.schedules or []), *(project.sensors or [])]:
        if not _mark(trigger):
            yield from _names_of_trigger(trigger)


def _names_of_asset(asset: Any) -> Iterator[tuple[str, str]]:
    keys = asset.keys if isinstance(asset, dg.AssetsDefinition) else [asset.key] if hasattr(asset, "key") else []
    yield from (("asset", key.to_user_string()) for key in keys)
    if isinstance(asset, dg.AssetsDefinition) and asset.is_executable:
        yield from (("op or job", node.name) for node in asset.node_def.iterate_node_defs())


def _names_of_job(job: Any) -> Iterator[tuple[str, str]]:
    # A job's graph has its name, and is an op among others.
    yield "op or job", job.name
    if isinstance(job, dg.JobDefinition):
        yield from (("op or job", node.name) for node in job.all_node_defs)


def _names_of_trigger(trigger: Any) -> Iterator[tuple[str, str]]:
    if trigger is None:
        return
    yield "schedule or sensor", trigger.name
    # Dagster adds the jobs that it finds here to those of the project.
    jobs = trigger.jobs if isinstance(trigger, dg.SensorDefinition) and trigger.has_jobs else []
    if isinstance(trigger, dg.ScheduleDefinition) and trigger.has_job:
        jobs = [trigger.job]
    for job in jobs:
        yield from _names_of_job(job)
