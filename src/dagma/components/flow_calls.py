"""Flows that call flows are edges in the lineage: the caller depends on what it calls."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

import dagster as dg

from dagma.components.flow_asset import FlowAsset
from dagma.flows.outline import FlowOutline

logger = logging.getLogger(__name__)

Pairs = Sequence[tuple[FlowOutline, FlowAsset]]
"""Flows, each with its asset."""


def with_calls(pairs: Pairs) -> list[tuple[FlowOutline, FlowAsset]]:
    """Add the flows that a flow calls to the deps of its asset.

    Args:
        pairs: The flows and their assets. A called flow that is not among them is no dep.

    Returns:
        The same flows, with their deps. A call that would close a circle, which no lineage may have, is left out with a
        warning.
    """
    deps = {asset.spec.key: [dep.asset_key for dep in asset.spec.deps] for _, asset in pairs}
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
    return [(flow, replace(asset, spec=_with_deps(asset.spec, deps[asset.spec.key]))) for flow, asset in pairs]


def _calls(pairs: Pairs) -> Iterator[tuple[dg.AssetKey, dg.AssetKey]]:
    by_name = {flow.name: asset.spec.key for flow, asset in pairs}
    by_id = {flow.id: asset.spec.key for flow, asset in pairs}
    for flow, asset in pairs:
        for called in flow.calls:
            if key := by_id.get(called) or by_name.get(called):
                yield asset.spec.key, key


def _is_circle(deps: Mapping[dg.AssetKey, Sequence[dg.AssetKey]]) -> bool:
    try:
        TopologicalSorter(deps).prepare()
    except CycleError:
        return True
    return False


def _with_deps(spec: dg.AssetSpec, keys: Sequence[dg.AssetKey]) -> dg.AssetSpec:
    more = [key for key in keys if key not in {dep.asset_key for dep in spec.deps}]
    return spec.replace_attributes(deps=[*spec.deps, *more]) if more else spec
