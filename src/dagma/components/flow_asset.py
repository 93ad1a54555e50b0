"""One flow as an asset: what is said of it, the step that calls it, and its schedule."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from dagma import environment
from dagma.backends.backend import Backend
from dagma.calls.answer import Answer
from dagma.calls.attached_files import check_file_fields
from dagma.calls.call_record import describe_attempts, describe_calls, describe_flow, record_calls, record_texts
from dagma.calls.retrying import CALL_ERRORS, retry_or_fail
from dagma.calls.templates import BadTemplateError, NestedTemplates, Template
from dagma.components.flow_settings import FlowSettings
from dagma.flows.outline import FlowOutline

POOL = "langflow"
INPUT_FIELD = "input_value"
"""The field of a run's config that replaces the input."""

_SCALARS = (bool, int, float, str)


def flow_asset(
    flow: FlowOutline, settings: FlowSettings, op_tags: Mapping[str, str] | None = None
) -> dg.AssetsDefinition:
    """Make the asset of a flow.

    Args:
        flow: The flow.
        settings: What is said of it; the key is set.
        op_tags: Tags of its step.

    Raises:
        BadTemplateError: A template can't be used.
        DagsterInvalidDefinitionError: Dagster refuses the asset.
    """
    spec = dg.AssetSpec(
        key=settings.asset_key,
        group_name=settings.group_name,
        description=settings.description,
        owners=settings.owners,
        tags=settings.tags,
        kinds=set(settings.kinds or []),
        deps=settings.deps or [],
        code_version=flow.version,
        metadata=settings.metadata,
        partitions_def=settings.partitions_def,
        automation_condition=settings.automation_condition,
        freshness_policy=settings.freshness_policy,
    )
    question = Question(settings)

    @dg.multi_asset(
        name=settings.asset_key.to_python_identifier(),
        specs=[spec.with_io_manager_key("io_manager")],
        ins={name: dg.AssetIn(key) for name, key in question.inputs.items()},
        config_schema=_config_schema(settings),
        pool=settings.pool or POOL,
        op_tags=op_tags,
    )
    def ask(context: dg.AssetExecutionContext, backend: Backend, **inputs: Any) -> dg.MaterializeResult[Any]:
        return _ask(flow.id, settings, question.fill_in(context, inputs), context, backend)

    return ask


def flow_schedule(settings: FlowSettings, metadata: Mapping[str, str] | None = None) -> dg.ScheduleDefinition:
    """Make the schedule that materializes the asset of a flow.

    Its time zone is `DAGMA_TIMEZONE`; whether it is on until somebody switches it, `DAGMA_SCHEDULES_RUNNING` says.

    Args:
        settings: What is said of the flow; the key is set.
        metadata: Metadata of the schedule.

    Raises:
        DagsterInvalidDefinitionError: The schedule is no cron expression, or the partitions have dimensions.
    """
    key, partitions = settings.asset_key, settings.partitions_def
    running = environment.flag("DAGMA_SCHEDULES_RUNNING", default=False)
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        # Which of them would be meant? All would be asked, and paid for, again and again.
        raise dg.DagsterInvalidDefinitionError(
            f"The flow asset {key.to_user_string()!r} has a schedule, and partitions of several dimensions. Leave it "
            "out, and write a schedule that says which partitions it materializes."
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
            for each in partitions.get_partition_keys(dynamic_partitions_store=store):
                # A key of its own for each run of each time: Dagster launches one of those with the same key.
                yield dg.RunRequest(run_key=f"{context.scheduled_execution_time}: {each}", partition_key=each)

    return dg.ScheduleDefinition(
        name=f"{key.to_python_identifier()}_schedule",
        target=dg.AssetSelection.assets(key),
        cron_schedule=str(settings.schedule),
        execution_timezone=environment.text("DAGMA_TIMEZONE", default="UTC"),
        execution_fn=requests,
        description=f"Materializes {key.to_user_string()}.",
        metadata=metadata,
        default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
    )


class Question:
    """The templates of an asset, and the upstream values that they need.

    Raises:
        BadTemplateError: A template can't be used, or takes a value of an asset that is not among the deps.
        BadFile: A file is for no field, or for one that has a tweak.
    """

    def __init__(self, settings: FlowSettings) -> None:
        tweaks, files, config = settings.tweaks or {}, settings.files or {}, settings.config or {}
        check_file_fields(files, tweaks)
        names = {"upstream", "config", "tags"} | ({"partition_key"} if settings.partitions_def else set())
        of = f"of the flow asset {settings.asset_key.to_user_string()!r}"
        self._input = Template(settings.input or "", f"the input {of}", names)
        self._session = Template(settings.session, f"the session {of}", names) if settings.session is not None else None
        self._tweaks = NestedTemplates(dict(tweaks), f"the value {of}, tweaks", names)
        self._files = NestedTemplates(dict(files), f"the file {of}, files", names)
        templates = [self._input, *([self._session] if self._session else []), *self._tweaks.templates]
        templates += self._files.templates
        self._taken = {member: _dep(settings, member) for each in templates for member in each.members("upstream")}
        if whole := [each.what for each in templates if "upstream" in each.names and not each.members("upstream")]:
            raise BadTemplateError(f"{whole[0]} uses upstream as a whole. Name the asset: upstream.NAME.")
        names = {member for each in templates for member in each.members("config")} - {*config, *dir(dict)}
        if names:
            raise BadTemplateError(
                f"A template {of} uses config.{min(names)}, which its config does not have. It has: "
                f"{', '.join(config) or 'nothing'}."
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
    flow_id: str,
    settings: FlowSettings,
    asked: Mapping[str, Any],
    context: dg.AssetExecutionContext,
    backend: Backend,
) -> dg.MaterializeResult[Any]:
    texts = record_texts()  # told before a call is paid for
    flow = backend.look_up(flow_id)
    with record_calls() as calls:
        try:
            response = backend.run_flow(
                **asked,
                output_type=settings.output_type or "chat",
                input_type=settings.input_type or "chat",
                flow=flow,
                flow_id=flow_id,
                mode=settings.mode,
            )
        except CALL_ERRORS as error:
            metadata = describe_flow(flow) | describe_attempts(calls.begun)
            policy = backend.policy
            if settings.max_retries is not None:
                policy = policy.model_copy(update={"step_retries": settings.max_retries})
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


def _dep(settings: FlowSettings, member: str) -> dg.AssetKey:
    """Find the dep that `upstream.MEMBER` means: by its whole key, or by the last part of it."""
    keys = settings.deps or []
    found = [key for key in keys if key.to_user_string() == member] or [key for key in keys if key.path[-1] == member]
    if len(found) == 1:
        return found[0]
    among = ", ".join(key.to_user_string() for key in keys) or "none"
    how = f"is more than one of its deps. Write upstream['{found[0].to_user_string()}']" if found else "is no dep of it"
    raise BadTemplateError(
        f"A template of the flow asset {settings.asset_key.to_user_string()!r} uses upstream.{member}, which {how}. "
        f"Its deps: {among}."
    )


def _config_schema(settings: FlowSettings) -> dict[str, dg.Field]:
    schema = {
        INPUT_FIELD: dg.Field(dg.Noneable(str), default_value=None, description="Asked in place of the asset's input.")
    }
    for name, default in (settings.config or {}).items():
        if name in schema or type(default) not in _SCALARS:
            raise dg.DagsterInvalidDefinitionError(
                f"The config of the flow asset {settings.asset_key.to_user_string()!r} has {name}: {default!r}. Give a "
                f"text, a number or a boolean as its default value, and another name than {INPUT_FIELD}."
            )
        schema[name] = dg.Field(type(default), default_value=default)
    return schema
