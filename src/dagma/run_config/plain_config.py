"""A run's config without a way into the environment of the process that executes the run."""

from typing import Any, Self

import dagster as dg
from dagster._config import ConfigType


class PlainConfig(dg.Config):
    """What a run's config may hold for an asset, taken as it stands.

    Every `str`, `int` and `bool` of a `dg.Config` also takes `{env: NAME}`, which Dagster replaces by that variable of
    the process that executes the run: whoever may launch runs can read all of them. Here it is refused at launch.

        class Choices(PlainConfig):
            country: str = "France"

        @dg.asset(config_schema=Choices.schema_of_runs())
        def capital(context: dg.AssetExecutionContext) -> str:
            choices = Choices.of_run(context)
    """

    @classmethod
    def schema_of_runs(cls) -> dg.Field:
        """Give the `config_schema` for the asset or op."""
        return _plain_field(cls.to_config_schema().as_field())

    @classmethod
    def of_run(cls, context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Self:
        """Read the config of the run that executes."""
        op = context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context
        return cls(**op.op_config)


def _plain_field(field: dg.Field) -> dg.Field:
    default = {"default_value": field.default_value} if field.default_provided else {}
    return dg.Field(_plain(field.config_type), is_required=field.is_required, description=field.description, **default)


def _plain(schema: ConfigType) -> Any:
    """Replace every source of environment variables in a schema by its plain type."""
    sources = {dg.StringSource.key: str, dg.IntSource.key: int, dg.BoolSource.key: bool}
    if schema.key in sources:
        return sources[schema.key]
    if isinstance(schema, dg.Noneable | dg.Array):
        return type(schema)(_plain(schema.inner_type))
    if isinstance(schema, dg.Map):
        return dg.Map(_plain(schema.key_type), _plain(schema.inner_type), schema.key_label_name)  # type: ignore[no-untyped-call]
    if isinstance(schema, dg.Shape | dg.Permissive | dg.Selector):
        return type(schema)({name: _plain_field(field) for name, field in schema.fields.items()})
    return schema
