"""A run's config without a way into the environment of the process that executes the run."""

from enum import Enum
from types import NoneType
from typing import Any, Literal, Self, get_args, get_origin

import dagster as dg
from dagster._config import ConfigType
from pydantic import create_model


class PlainConfig(dg.Config):
    """What a run's config may hold for an asset, taken as it stands.

    Every `str`, `int` and `bool` of a `dg.Config` also takes `{env: NAME}`, which Dagster replaces by that variable of
    the process that executes the run: whoever may launch runs can read all of them. Here it is refused at launch.

    A `Literal`, also one that may be None, is offered in the launchpad, and other words are refused at launch.

        class Choices(PlainConfig):
            country: str = "France"

        @dg.asset(config_schema=Choices.schema_of_runs())
        def capital(context: dg.AssetExecutionContext) -> str:
            choices = Choices.of_run(context)
    """

    @classmethod
    def schema_of_runs(cls) -> dg.Field:
        """Give the `config_schema` for the asset or op."""
        return _plain_field(_with_choices(cls).to_config_schema().as_field())

    @classmethod
    def of_run(cls, context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Self:
        """Read the config of the run that executes."""
        op = context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context
        return cls(**op.op_config)


def _with_choices(config: type[PlainConfig]) -> type[PlainConfig]:
    """Replace each `Literal | None` by an Enum, since Dagster 1.13 takes no optional Literal."""
    choices: dict[str, Any] = {}
    for name, field in config.model_fields.items():
        literal, *rest = get_args(field.annotation) or [None]
        if get_origin(literal) is Literal and rest == [NoneType]:
            words = Enum(f"{config.__name__}_{name}", {word: word for word in get_args(literal)})  # type: ignore[misc]
            choices[name] = (words | None, field)
    return create_model(config.__name__, __base__=config, **choices)


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
