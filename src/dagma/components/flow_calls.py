"""Flows that call flows are edges in the lineage: the caller depends on what it calls."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

import dagster as dg

from dagma.components.flow_settings import FlowSettings
from dagma.flows.outline import FlowOutline

logger = logging.getLogger(__name__)

Pairs = Sequence[tuple[FlowOutline, FlowSettings]]
"""Flows, each with what is said of its asset."""


def with_calls(pairs: Pairs) -> list[tuple[FlowOutline, FlowSettings]]:
    """Add the flows that a flow calls to the deps of its asset.

    Args:
        pairs: The flows and their settings. A called flow that is not among them is no dep.

    Returns:
        The same flows, with their deps. A call that would close a circle, which no lineage may have, is left out with a
        warning.
    """
    deps = {settings.asset_key: list(settings.deps or []) for _, settings in pairs}
    for caller, called in _calls(pairs):
        if called in deps[caller]:
            continue
        if _is_circle({**deps, caller: [*deps[caller], called]}):
            logger.warning(
                "The flow of %s calls the one of %s, which depends on it: the lineage leaves this call out.",
                caller.to_user_string(),
                called.to_user_string(),
            )
            continue
        deps[caller].append(called)
    return [(flow, replace(settings, deps=deps[settings.asset_key])) for flow, settings in pairs]


def _calls(pairs: Pairs) -> Iterator[tuple[dg.AssetKey, dg.AssetKey]]:
    by_name = {flow.name: settings.asset_key for flow, settings in pairs}
    by_id = {flow.id: settings.asset_key for flow, settings in pairs}
    for flow, settings in pairs:
        for called in flow.calls:
            if key := by_id.get(called) or by_name.get(called):
                yield settings.asset_key, key


def _is_circle(deps: Mapping[dg.AssetKey, Sequence[dg.AssetKey]]) -> bool:
    try:
        TopologicalSorter(deps).prepare()
    except CycleError:
        return True
    return False
