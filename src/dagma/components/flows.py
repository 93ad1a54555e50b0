"""The flows of a Langflow server, or of `flows/`, as assets: a component for YAML, and a function for Python."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import dagster as dg
from pydantic import BaseModel
from typing_extensions import override

from dagma import environment
from dagma.backends.langflow.access_variables import DEFAULT_BASE_URL, base_url_from_environment, langflow_client
from dagma.components.component_file import naming_the_file
from dagma.components.flow_asset import flow_asset, flow_schedule
from dagma.components.flow_calls import with_calls
from dagma.components.flow_changes import flow_changes_sensor
from dagma.components.flow_settings import FlowSelection, FlowSettings, refuse_text
from dagma.components.found_flows import FOUND_FLOW
from dagma.flows.graph_picture import picture_of
from dagma.flows.known_flows import FolderFlows, ServerFlows, fingerprint_of
from dagma.flows.outline import FlowOutline
from dagma.langflow.flow import uuid_or_none
from dagma.project import flows_folder, project_folder, storage_folder

logger = logging.getLogger(__name__)

LONGEST_TAG = 63
"""How many letters Dagster's tags may have."""

LONGEST_NAME = 100
"""How many letters of a flow's name its key has: the IO manager names a file by it."""

QUESTION_SECONDS = 15.0
"""How long one question about flows may take."""


@dataclass(kw_only=True)
class Flows(dg.Component, dg.Resolvable):
    """Makes an asset of each flow of the Langflow server that `LANGFLOW_*` names.

    Subclass it and override `get_settings` to decide by the flow what its asset is.

    Args:
        select: Which flows become assets. Default: all.
        flows: Settings of single flows, by endpoint name, name or id. A flow that stands here is always an asset.
        defaults: Settings of every flow that does not say otherwise.
        from_files: Take the flows from the files in `flows/`, and not from the server, which is still who is called.
    """

    select: FlowSelection = field(default_factory=FlowSelection)
    flows: dict[str, FlowSettings] = field(default_factory=dict)
    defaults: FlowSettings = field(default_factory=FlowSettings)
    from_files: bool = False

    @override
    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        with naming_the_file(context):
            for name in (attributes.model_fields_set if attributes else set()) - {"from_files"}:
                refuse_text(name, context.resolution_context.resolve_value(getattr(attributes, name)))
            return super().load(attributes, context)

    def get_settings(self, flow: FlowOutline) -> FlowSettings:
        """Say what the asset of a flow is. Override it, and change what `super().get_settings(flow)` gives."""
        declared = self._declared(flow)
        settings = (self.flows[declared] if declared else FlowSettings()).over(self.defaults)
        name = declared if declared and not uuid_or_none(declared) else flow.endpoint_name or flow.name
        return replace(
            settings,
            key=settings.key or dg.AssetKey(_slug(name)),
            group_name=settings.group_name or _slug(flow.project or "langflow"),
            description=_description(flow, settings.description),
            tags={**{_slug(tag)[:LONGEST_TAG]: "" for tag in flow.tags}, **(settings.tags or {})},
            deps=settings.deps or [],
            kinds=["langflow", *(settings.kinds or [])],
            metadata={**_metadata(flow), **(settings.metadata or {})},
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Make the definitions of a `defs.yaml`."""
        place, root = context.component_path, project_folder() / "defs"
        # The folders between tell two of one name apart.
        below = place.file_path.relative_to(root).parts if place.file_path.is_relative_to(root) else ()
        name = "_".join(below or place.file_path.parts[-1:]).removesuffix(".py")
        with naming_the_file(context):
            return self.definitions(f"{name}_{place.instance_key}" if place.instance_key else name)

    def definitions(self, name: str = "flows") -> dg.Definitions:
        """Make the assets, their schedules, and the sensor that keeps them current.

        Args:
            name: What the sensor's name begins with.
        """
        self._check_defaults()
        source = self._source()
        known = [flow for flow in source.load() if self._takes(flow)]
        pairs = with_calls(self._assets([*self._not_seen(known), *known]))
        assets, schedules = [], []
        for flow, settings in pairs:
            mark = {} if self._declared(flow) else {FOUND_FLOW: f"{flow.name!r} ({flow.id}) of {name!r}"}
            with self._broken_flows_left_out(flow):
                asset = flow_asset(flow, settings, mark)
                schedules += [flow_schedule(settings, mark)] if settings.schedule else []
                assets.append(asset)
        sensor = flow_changes_sensor(f"{_slug(name)}_changes", source, fingerprint_of(known), self._takes)
        return dg.Definitions(assets=assets, schedules=schedules, sensors=[sensor])

    def _check_defaults(self) -> None:
        """Refuse defaults that no flow can have: of flows that were only found, a fault is no more than a warning."""
        # Without templates, which may need what only single flows have.
        plain = replace(self.defaults, key=dg.AssetKey("defaults"), input=None, tweaks=None, files=None, session=None)
        try:
            flow_asset(FlowOutline(id="defaults", name="defaults"), plain)
            if plain.schedule:
                flow_schedule(plain)
        except Exception as error:
            error.add_note("defaults")
            raise

    def _assets(self, flows: list[FlowOutline]) -> list[tuple[FlowOutline, FlowSettings]]:
        pairs: dict[dg.AssetKey, tuple[FlowOutline, FlowSettings]] = {}
        for flow in sorted(flows, key=self._rank):
            with self._broken_flows_left_out(flow):
                settings = self.get_settings(flow)
                key = settings.asset_key
                if (other := pairs.setdefault(key, (flow, settings))[0]) is not flow:
                    self._tell_of_equal_keys(key.to_user_string(), other, flow)
        return list(pairs.values())

    def _rank(self, flow: FlowOutline) -> tuple[int, str]:
        """Order flows: one that is named here comes first, so that no other can take its key."""
        names = (flow.id, flow.endpoint_name, flow.name)
        return next((rank for rank, name in enumerate(names) if name in self.flows), len(names)), flow.id

    def _tell_of_equal_keys(self, key: str, first: FlowOutline, second: FlowOutline) -> None:
        told = (
            f"The flows {first.name!r} ({first.id}) and {second.name!r} ({second.id}) would both be the asset {key!r}. "
            f"Give the second one another key, as in flows: {{{second.id}: {{key: another}}}}."
        )
        if self._declared(second) not in (None, self._declared(first)):
            raise dg.DagsterInvalidDefinitionError(told)
        # Somebody has given a flow a name that is taken: that must not take the assets of the others away.
        logger.warning("%s Until then it is not an asset.", told)

    def _not_seen(self, known: list[FlowOutline]) -> list[FlowOutline]:
        """Make up the flows that are named here and not known: jobs and other assets may name their assets."""
        seen = {self._declared(flow) for flow in known}
        missing = []
        for name, settings in self.flows.items():
            if name in seen:
                continue
            logger.warning("The flow %r, which is named in the definitions, was not found.", name)
            if settings.key or not uuid_or_none(name):
                missing.append(FlowOutline(id=name, name=name))
        return missing

    def _declared(self, flow: FlowOutline) -> str | None:
        """Give the name by which a flow stands among the settings, if it does."""
        return next((name for name in (flow.id, flow.endpoint_name, flow.name) if name in self.flows), None)

    def _takes(self, flow: FlowOutline) -> bool:
        return self._declared(flow) is not None or self.select.takes(flow)

    @contextmanager
    def _broken_flows_left_out(self, flow: FlowOutline) -> Iterator[None]:
        """Warn of what is wrong with a flow that was only found; what is named in the definitions has to be right."""
        try:
            yield
        except Exception as error:
            if declared := self._declared(flow):
                error.add_note(f"flows.{declared}")
                raise
            logger.warning("The flow %r (%s) is not an asset: %s: %s", flow.name, flow.id, type(error).__name__, error)

    def _source(self) -> FolderFlows:
        if self.from_files:
            return FolderFlows(flows_folder())
        storage = storage_folder()
        server = hashlib.sha256(base_url_from_environment().encode()).hexdigest()[:12]
        kept = storage / "langflow_flows" / f"{server}.json" if storage else None
        return ServerFlows(kept, partial(langflow_client, QUESTION_SECONDS), flows_folder())


def flow_assets(
    *,
    select: FlowSelection | None = None,
    flows: dict[str, FlowSettings] | None = None,
    defaults: FlowSettings | None = None,
    from_files: bool = False,
    get_settings: Callable[[FlowOutline, FlowSettings], FlowSettings] | None = None,
    name: str = "flows",
) -> dg.Definitions:
    """Make assets of flows, as the component `dagma.Flows` does.

    Args:
        select: Which flows become assets. Default: all.
        flows: Settings of single flows, by endpoint name, name or id. A flow that stands here is always an asset.
        defaults: Settings of every flow that does not say otherwise.
        from_files: Take the flows from the files in `flows/`, and not from the server, which is still who is called.
        get_settings: Decides by the flow, and by what its asset would be, what its asset is.
        name: What the name of the sensor begins with that keeps the assets current. Another one for each call.

    Returns:
        The assets, their schedules, and that sensor.

    Raises:
        BadTemplateError: A template can't be used.
        DagsterInvalidDefinitionError: Dagster refuses the asset or the schedule of a flow that is named in `flows`.
    """

    class Adjusted(Flows):
        def get_settings(self, flow: FlowOutline) -> FlowSettings:
            settings = super().get_settings(flow)
            return get_settings(flow, settings) if get_settings else settings

    component = Adjusted(
        select=select or FlowSelection(), flows=flows or {}, defaults=defaults or FlowSettings(), from_files=from_files
    )
    return component.definitions(name)


def _metadata(flow: FlowOutline) -> dict[str, Any]:
    url = _page(flow)
    return {
        "flow_id": flow.id,
        "flow_name": flow.name,
        **({"flow_project": flow.project} if flow.project else {}),
        **({"flow_url": dg.MetadataValue.url(url)} if url else {}),
    }


def _description(flow: FlowOutline, own: str | None) -> str:
    url, picture = _page(flow), picture_of(flow)
    said = own or _plain_markdown(flow.description) or f"The flow {_plain_markdown(flow.name)}."
    return "\n\n".join(part for part in (said, picture, f"[Open it in Langflow]({url})" if url else None) if part)


def _page(flow: FlowOutline) -> str | None:
    """Give the address of the flow in the canvas; a flow that was not seen yet has none."""
    if not uuid_or_none(flow.id):
        return None
    return f"{environment.text('LANGFLOW_PUBLIC_URL', default=DEFAULT_BASE_URL).rstrip('/')}/flow/{flow.id}"


def _plain_markdown(text: str) -> str:
    """Write a text that somebody typed into Langflow: as Markdown it could load an address of its author's choice."""
    return re.sub(r"([\\`*_\[\]<>!#|])", r"\\\1", text.strip())


def _slug(text: str) -> str:
    """Write a name with the letters that Dagster takes; a hash stands for one that has none of them, as in Chinese."""
    kept = re.sub(r"[^A-Za-z0-9_]+", "_", text)[:LONGEST_NAME].strip("_").lower()
    return kept or f"flow_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
