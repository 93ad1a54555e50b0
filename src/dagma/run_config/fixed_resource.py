"""Resources that are what the definitions say: no run's config changes them."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, NoReturn, Self

import dagster as dg
from dagster._config.pythonic_config.resource import ConfigurableResourceFactoryResourceDefinition
from pydantic import PrivateAttr
from typing_extensions import override

from dagma import environment


class FixedResource(dg.ConfigurableResource[Any]):
    """A resource that is set where it is defined, and not at launch.

    The launchpad offers every field of a `dg.ConfigurableResource`: whoever may launch a run can send its key to an
    address of their own, and `{env: NAME}` there reads any variable of the process that executes the run. A resource of
    this class has no fields there.

    A `dg.EnvVar("NAME")` is read when a run begins, from the variable or from the file that `NAME_FILE` names.
    """

    _definition: ConfigurableResourceFactoryResourceDefinition | None = PrivateAttr(default=None)

    @override
    def get_resource_definition(self) -> ConfigurableResourceFactoryResourceDefinition:
        # One for all: Dagster tells resources apart by their definition.
        if self._definition is None:
            open_definition = super().get_resource_definition()
            self._definition = ConfigurableResourceFactoryResourceDefinition(
                type(self),
                resource_fn=self._initialize,
                # An empty shape and not None: Dagster takes anything for that, and ignores it.
                config_schema={},
                description=type(self).__doc__,
                nested_resources=open_definition.nested_resources,
                nested_partial_resources=open_definition.nested_partial_resources,
            )
        return self._definition

    @classmethod
    @override
    def configure_at_launch(cls, **kwargs: Any) -> NoReturn:
        raise dg.DagsterInvalidDefinitionError(
            f"A {cls.__name__} can't be configured at launch: whoever launches a run could send its keys elsewhere. "
            f"Set its fields where it is defined: {cls.__name__}(...)."
        )

    def with_values(self) -> Self:
        """Give the same with the values of its variables, for code that Dagster does not hand it to."""
        return self.model_copy(update={name: setting_value(value) for name, value in self})

    @contextlib.contextmanager
    def _initialize(self, context: dg.InitResourceContext) -> Iterator[Any]:
        # As `nested_resources`: those, and every other field, are arguments of the class.
        try:
            fields = {name: setting_value(value) for name, value in self}
        except environment.SettingError as error:
            # As an error of Dagster's own it is shown as it is, and not as the cause of another.
            raise dg.DagsterInvariantViolationError(str(error)) from None
        with self.from_resource_context_cm(context, nested_resources=fields) as made:
            yield made


def setting_value(setting: Any) -> Any:
    """Put the value in place of a `dg.EnvVar`; a SettingError if there is none. Give back anything else."""
    variable = getattr(setting, "env_var_name", None)
    if variable is None:
        return setting
    text = environment.text(variable, os.environ.get(variable))
    if text is None:
        raise environment.SettingError(
            f"{variable} is not set. Write it into project/.env, or into .env if it is a setting of the stack, then "
            "`make up`. Without the stack, set the variable."
        )
    if not isinstance(setting, int):
        return text
    try:
        return int(text)
    except ValueError:
        # Without the value, which may be a secret, and without the exception that holds it.
        error = environment.SettingError(f"{variable} is not a whole number. Set it to one, such as 5.")
    raise error
