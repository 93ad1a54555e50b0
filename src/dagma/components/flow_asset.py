"""One flow as an asset: what is said of it, the step that calls it, and its schedule."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from dagma import environment
from dagma.backends.backend import Backend
from dagma.calls.answer import Answer
from dagma.calls.attached_files import check_file_fields
from dagma.calls.call_record import describe_attempts, describe_calls, describe_flow, record_calls, record_texts
from dagma.calls.request import CallMode
from dagma.calls.retrying import CALL_ERRORS, retry_or_fail
from dagma.calls.templates import BadTemplateError, NestedTemplates, Template
from dagma.langflow import InputType, OutputType

POOL = "langflow"
INPUT_FIELD = "input_value"
"""The field of a run's config that replaces the input."""

_SCALARS = (bool, int, float, str)


@dataclass(frozen=True, kw_only=True)
class FlowAsset:
    """A flow as an asset.

    Attributes:
        flow_id: The flow's id, or its endpoint name where the id is not known.
        spec: What Dagster is told of the asset: key, group, description, owners, tags, kinds, deps, code version,
            partitions, automation condition and freshness.
        input: Template of what the flow is asked.
        tweaks: Values of component fields, by component id, with templates in them.
        files: Files for fields of the flow, by `component.field`: templates that give bytes or a path in the project's
            data folder, or lists of them.
        session: Template of the conversation that the call belongs to; None for one of the call's own.
        config: What a run's config may set, with default values.
        schedule: When the asset is materialized, as a cron expression.
        mode: How the call is sent; None leaves it to the backend.
        input_type: Which of the flow's inputs gets the input.
        output_type: Which of the flow's outputs is taken.
        pool: The pool that limits how many steps call at once.
        max_retries: How often the step is retried where that may help and can't pay twice; None for as often as the
            backend's policy says.
    """

    flow_id: str
    spec: dg.AssetSpec
    input: str = ""
    tweaks: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    session: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    schedule: str | None = None
    mode: CallMode | None = None
    input_type: InputType = "chat"
    output_type: OutputType = "chat"
    pool: str = POOL
    max_retries: int | None = None

    @property
    def name(self) -> str:
        """What people call it in errors: the asset's key."""
        return self.spec.key.to_user_string()

    def definition(self, op_tags: Mapping[str, str] | None = None) -> dg.AssetsDefinition:
        """Make the asset.

        Args:
            op_tags: Tags of its step.

        Raises:
            BadTemplateError: A template can't be used.
            DagsterInvalidDefinitionError: Dagster refuses the asset.
        """
        question = Question(self)

        @dg.multi_asset(
            name=self.spec.key.to_python_identifier(),
            specs=[self.spec.with_io_manager_key("io_manager")],
            ins={name: dg.AssetIn(key) for name, key in question.inputs.items()},
            config_schema=_config_schema(self),
            pool=self.pool,
            op_tags=op_tags,
        )
        def ask(context: dg.AssetExecutionContext, backend: Backend, **inputs: Any) -> dg.MaterializeResult[Any]:
            return _ask(self, question.fill_in(context, inputs), context, backend)

        return ask

    def schedule_definition(self, metadata: Mapping[str, str] | None = None) -> dg.ScheduleDefinition:
        """Make the schedule that materializes the asset.

        Its time zone is `DAGMA_TIMEZONE`; whether it is on until somebody switches it, `DAGMA_SCHEDULES_RUNNING` says.

        Args:
            metadata: Metadata of the schedule.

        Raises:
            DagsterInvalidDefinitionError: The schedule is no cron expression, or the partitions have dimensions.
        """
        running = environment.flag("DAGMA_SCHEDULES_RUNNING", default=False)
        partitions = self.spec.partitions_def
        if isinstance(partitions, dg.MultiPartitionsDefinition):
            # Which of them would be meant? All would be asked, and paid for, again and again.
            raise dg.DagsterInvalidDefinitionError(
                f"The flow asset {self.name!r} has a schedule, and partitions of several dimensions. Leave it out, "
                "and write a schedule that says which partitions it materializes."
            )

        def requests(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
            if partitions is None:
                yield dg.RunRequest()
            elif isinstance(partitions, dg.TimeWindowPartitionsDefinition):
                with dg.partition_loading_context(effective_dt=context.scheduled_execution_time):
                    latest = partitions.get_last_partition_key()
                yield from [dg.RunRequest(partition_key=latest)] if latest else []
            else:
                store = context.instance if isinstance(partitions, dg.DynamicPartitionsDefinition) else None
                for key in partitions.get_partition_keys(dynamic_partitions_store=store):
                    # A key of its own for each run of each time: Dagster launches one of those with the same key.
                    yield dg.RunRequest(run_key=f"{context.scheduled_execution_time}: {key}", partition_key=key)

        return dg.ScheduleDefinition(
            name=f"{self.spec.key.to_python_identifier()}_schedule",
            target=dg.AssetSelection.assets(self.spec.key),
            cron_schedule=str(self.schedule),
            execution_timezone=environment.text("DAGMA_TIMEZONE", default="UTC"),
            execution_fn=requests,
            description=f"Materializes {self.name}.",
            metadata=metadata,
            default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
        )


class Question:
    """The templates of an asset, and the upstream values that they need.

    Raises:
        BadTemplateError: A template can't be used, or takes a value of an asset that is not among the deps.
        BadFile: A file is for no field, or for one that has a tweak.
    """

    def __init__(self, asset: FlowAsset) -> None:
        check_file_fields(asset.files, asset.tweaks)
        names = {"upstream", "config", "tags"} | ({"partition_key"} if asset.spec.partitions_def else set())
        of = f"of the flow asset {asset.name!r}"
        self._input = Template(asset.input, f"the input {of}", names)
        self._session = Template(asset.session, f"the session {of}", names) if asset.session is not None else None
        self._tweaks = NestedTemplates(dict(asset.tweaks), f"the value {of}, tweaks", names)
        self._files = NestedTemplates(dict(asset.files), f"the file {of}, files", names)
        templates = [self._input, *([self._session] if self._session else []), *self._tweaks.templates]
        templates += self._files.templates
        self._taken = {member: _dep(asset, member) for each in templates for member in each.members("upstream")}
        if whole := [each.what for each in templates if "upstream" in each.names and not each.members("upstream")]:
            raise BadTemplateError(f"{whole[0]} uses upstream as a whole. Name the asset: upstream.NAME.")
        names = {member for each in templates for member in each.members("config")} - {*asset.config, *dir(dict)}
        if names:
            raise BadTemplateError(
                f"A template {of} uses config.{min(names)}, which its config does not have. It has: "
                f"{', '.join(asset.config) or 'nothing'}."
            )
        self.inputs = {key.to_python_identifier(): key for key in self._taken.values()}
        """The assets whose values are loaded, by the names of the step's inputs."""

    def fill_in(self, context: dg.AssetExecutionContext, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Fill the templates in with what the run has.

        Returns:
            Arguments of `Backend.run_flow`.

        Raises:
            Failure: They can't be filled in. No retry would change that.
        """
        config = dict(context.op_execution_context.op_config or {})
        replacement = config.pop(INPUT_FIELD, None)
        values = {
            "upstream": {member: inputs[key.to_python_identifier()] for member, key in self._taken.items()},
            "config": config,
            "tags": dict(context.run.tags),
            **({"partition_key": context.partition_key} if context.has_partition_key else {}),
        }
        try:
            return {
                "input_value": self._input.text(values) if replacement is None else replacement,
                "tweaks": self._tweaks.value(values) or None,
                "files": self._files.value(values) or None,
                "session_id": self._session.text(values) if self._session else None,
            }
        except BadTemplateError as error:
            raise dg.Failure(str(error), allow_retries=False) from error


def _ask(
    asset: FlowAsset, asked: Mapping[str, Any], context: dg.AssetExecutionContext, backend: Backend
) -> dg.MaterializeResult[Any]:
    texts = record_texts()  # told before a call is paid for
    flow = backend.look_up(asset.flow_id)
    with record_calls() as calls:
        try:
            response = backend.run_flow(
                **asked,
                output_type=asset.output_type,
                input_type=asset.input_type,
                flow=flow,
                flow_id=asset.flow_id,
                mode=asset.mode,
            )
        except CALL_ERRORS as error:
            metadata = describe_flow(flow) | describe_attempts(calls.begun)
            policy = backend.policy
            if asset.max_retries is not None:
                policy = policy.model_copy(update={"step_retries": asset.max_retries})
            retry_or_fail(error, retry_number=context.retry_number, metadata=metadata, policy=policy)
    answer = calls.answered[-1].answer if calls.answered else backend.read(response)
    return dg.MaterializeResult(
        value=_value(answer) if texts else {"status": "completed"}, metadata=describe_calls(calls, flow, texts=texts)
    )


def _value(answer: Answer) -> Any:
    """Give what downstream assets want: the text, or the only output, or all of them by component."""
    if answer.text is not None:
        return answer.text
    return next(iter(answer.outputs.values())) if len(answer.outputs) == 1 else dict(answer.outputs)


def _dep(asset: FlowAsset, member: str) -> dg.AssetKey:
    """Find the dep that `upstream.MEMBER` means: by its whole key, or by the last part of it."""
    keys = [dep.asset_key for dep in asset.spec.deps]
    found = [key for key in keys if key.to_user_string() == member] or [key for key in keys if key.path[-1] == member]
    if len(found) == 1:
        return found[0]
    among = ", ".join(key.to_user_string() for key in keys) or "none"
    how = f"is more than one of its deps. Write upstream['{found[0].to_user_string()}']" if found else "is no dep of it"
    raise BadTemplateError(
        f"A template of the flow asset {asset.name!r} uses upstream.{member}, which {how}. Its deps: {among}."
    )


def _config_schema(asset: FlowAsset) -> dict[str, dg.Field]:
    schema = {
        INPUT_FIELD: dg.Field(dg.Noneable(str), default_value=None, description="Asked in place of the asset's input.")
    }
    for name, default in asset.config.items():
        if name in schema or type(default) not in _SCALARS:
            raise dg.DagsterInvalidDefinitionError(
                f"The config of the flow asset {asset.name!r} has {name}: {default!r}. Give a text, a number or a "
                f"boolean as its default value, and another name than {INPUT_FIELD}."
            )
        schema[name] = dg.Field(type(default), default_value=default)
    return schema
