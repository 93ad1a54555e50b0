"""What a user may say of flows: which ones become assets, and what each is asked, when and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Annotated, Any, Self, get_args

import dagster as dg
from dagster.components.resolved.core_models import (
    DailyPartitionsDefinitionModel,
    HourlyPartitionsDefinitionModel,
    ResolvedAssetKey,
    StaticPartitionsDefinitionModel,
    TimeWindowPartitionsDefinitionModel,
    WeeklyPartitionsDefinitionModel,
    resolve_partitions_def,
)
from pydantic import Field

from dagma.calls.request import CallMode
from dagma.flows.outline import FlowOutline
from dagma.langflow import InputType, OutputType

OBJECTS = {
    "automation_condition": "dg.AutomationCondition.eager()",
    "freshness_policy": "dg.FreshnessPolicy.time_window(fail_window=datetime.timedelta(hours=24))",
}
"""Settings that YAML can give by a template only, each with an example."""

PARTITIONS_EXAMPLE = "{type: static, partition_keys: [de, fr]}"


class StaticPartitions(StaticPartitionsDefinitionModel):
    """Partitions with these keys."""

    partition_keys: list[str]


def _resolved_partitions(context: dg.ResolutionContext, declared: Any) -> dg.PartitionsDefinition[Any] | None:
    # Dagster's model also accepts a text, since it may be a template, and then fails on it.
    if isinstance(declared, str):
        raise ValueError(f"{declared!r} is not an object. Write it as in {PARTITIONS_EXAMPLE}.")
    return resolve_partitions_def(context, declared)


# Filled in when a run calls the flow, and not when the YAML is loaded.
_AtRun = dg.Resolver.passthrough()
ResolvedPartitions = Annotated[
    dg.PartitionsDefinition | None,
    dg.Resolver(
        _resolved_partitions,
        # By the type alone, so that a mistake is told of the kind that is meant.
        model_field_type=Annotated[
            HourlyPartitionsDefinitionModel
            | DailyPartitionsDefinitionModel
            | WeeklyPartitionsDefinitionModel
            | TimeWindowPartitionsDefinitionModel
            | StaticPartitions,
            Field(discriminator="type"),
        ],
        description=f"The asset's partitions, such as {PARTITIONS_EXAMPLE}.",
    ),
]


def _resolved_keys(context: dg.ResolutionContext, declared: Any) -> list[dg.AssetKey] | None:
    keys = context.resolve_value(declared)
    refuse_text("deps", keys)
    return keys and [dg.AssetKey.from_user_string(key) for key in keys]


def refuse_text(name: str, value: Any) -> None:
    """Refuse a text, which Dagster's models take where a list or an object belongs, since it may be a template.

    Raises:
        DagsterInvalidDefinitionError: It is a text.
    """
    if isinstance(value, str):
        raise dg.DagsterInvalidDefinitionError(
            f"{name} is a text. Write a list, [{value}], or an object, {{name: ...}}."
        )


@dataclass(frozen=True, kw_only=True)
class FlowSelection(dg.Resolvable):
    """Which flows become assets: those that fit everything that is given. Of a list, one entry has to fit.

    Args:
        project: The flow's project in Langflow, by name.
        name: The flow's name or endpoint name; `*` and `?` stand for letters.
        tag: One of the flow's tags.
        id: The flow's id.
    """

    project: str | list[str] = field(default_factory=list)
    name: str | list[str] = field(default_factory=list)
    tag: str | list[str] = field(default_factory=list)
    id: str | list[str] = field(default_factory=list)

    def takes(self, flow: FlowOutline) -> bool:
        """Tell whether a flow is selected."""
        names = [flow.name, flow.endpoint_name or flow.name]
        return (
            _fits(self.project, lambda project: project == flow.project)
            and _fits(self.name, lambda glob: any(fnmatchcase(name, glob) for name in names))
            and _fits(self.tag, lambda tag: tag in flow.tags)
            and _fits(self.id, lambda flow_id: flow_id == flow.id)
        )


@dataclass(frozen=True, kw_only=True)
class FlowSettings(dg.Resolvable):
    """What one flow is asked, when and how, and what its asset says. What is left out, the defaults say.

    `input`, `session` and the texts in `tweaks` and `files` are templates over `upstream` (values of assets in `deps`),
    `config`, `tags` (of the run) and, for a partitioned asset, `partition_key`.

    Args:
        input: What the flow is asked.
        tweaks: Values of component fields, by component id.
        files: Files for fields of the flow, by `component.field`: bytes, or a path in the project's data folder.
        session: The conversation that the call belongs to. Default: one of the call's own.
        config: What a run's config may set, with default values.
        schedule: When the asset is materialized, as a cron expression in `DAGMA_TIMEZONE`. Each time the latest
            partition of a time window, or every other partition, is materialized.
        mode: How the call is sent: `direct`, `job` or `auto`. Default: the backend's.
        input_type: Which of the flow's inputs gets the input.
        output_type: Which of the flow's outputs is taken.
        pool: The pool that limits how many steps call at once.
        max_retries: How often the step is retried where that may help and can't pay twice.
        key: The asset's key. Default: the name by which the settings name the flow, else its endpoint name or name.
        deps: Assets that it depends on.
        description: What the page says of it, above the picture of the graph.
        group_name: Its group. Default: the flow's project.
        owners: Its owners: mail addresses, or `team:NAME`.
        tags: Its tags, beside the flow's.
        kinds: Its kinds, beside `langflow`.
        metadata: More metadata.
        partitions_def: Its partitions.
        automation_condition: When it is materialized by itself.
        freshness_policy: How fresh it has to be.
    """

    input: Annotated[str | None, _AtRun] = None
    tweaks: Annotated[dict[str, Any] | None, _AtRun] = None
    files: Annotated[dict[str, Any] | None, _AtRun] = None
    session: Annotated[str | None, _AtRun] = None
    config: dict[str, Any] | None = None
    schedule: str | None = None
    mode: CallMode | None = None
    input_type: InputType | None = None
    output_type: OutputType | None = None
    pool: str | None = None
    max_retries: int | None = None
    key: ResolvedAssetKey | None = None
    deps: Annotated[list[dg.AssetKey] | None, dg.Resolver(_resolved_keys, model_field_type=list[str] | None)] = None
    description: str | None = None
    group_name: str | None = None
    owners: list[str] | None = None
    tags: dict[str, str] | None = None
    kinds: list[str] | None = None
    metadata: dict[str, Any] | None = None
    partitions_def: ResolvedPartitions = None
    automation_condition: Annotated[
        dg.AutomationCondition[Any] | None, dg.Resolver.default(model_field_type=str | None)
    ] = None
    freshness_policy: Annotated[dg.FreshnessPolicy | None, dg.Resolver.default(model_field_type=str | None)] = None

    def __post_init__(self) -> None:
        """Refuse what a setting can't be, and Dagster's models let pass, since it may be a template."""
        for name in ("tweaks", "files", "config", "deps", "owners", "tags", "kinds", "metadata"):
            refuse_text(name, getattr(self, name))
        if self.key is not None:  # in Python it may be given as a text, and so may those of deps
            object.__setattr__(self, "key", dg.AssetKey.from_coercible(self.key))
        if self.deps is not None:
            object.__setattr__(self, "deps", [dg.AssetKey.from_coercible(key) for key in self.deps])
        for name, words in (("mode", CallMode), ("input_type", InputType), ("output_type", OutputType)):
            value = getattr(self, name)
            if value is not None and value not in get_args(words):
                raise ValueError(f"{name} is {value!r}. Set it to one of: {', '.join(get_args(words))}.")
        for name, example in OBJECTS.items():
            if isinstance(value := getattr(self, name), str):
                raise ValueError(f"{name} is {value!r}. Write a template that makes it, such as '{{{{ {example} }}}}'.")
        if self.max_retries is not None and (type(self.max_retries) is not int or self.max_retries < 0):
            raise ValueError(f"max_retries is {self.max_retries!r}. Write a whole number from 0.")

    @property
    def asset_key(self) -> dg.AssetKey:
        """The key, which is set in the settings that `Flows.get_settings` gives."""
        if self.key is None:
            raise dg.DagsterInvalidDefinitionError(
                "The asset of a flow has no key. Change what super().get_settings(flow) gives, with "
                "dataclasses.replace."
            )
        return self.key

    def over(self, defaults: "FlowSettings") -> Self:
        """Fill in what is not set from the defaults; of dicts, each entry."""
        filled: dict[str, Any] = {}
        for each in fields(self):
            own, default = getattr(self, each.name), getattr(defaults, each.name)
            if isinstance(own, Mapping) and isinstance(default, Mapping):
                filled[each.name] = {**default, **own}
            elif own is None:
                filled[each.name] = default
        return replace(self, **filled)


def _fits(wanted: str | list[str], fits: Any) -> bool:
    entries = [wanted] if isinstance(wanted, str) else wanted
    return not entries or any(fits(entry) for entry in entries)
