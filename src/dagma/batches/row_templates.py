"""What is asked of a row, written as templates over its columns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dagma.batches.errors import RowsError
from dagma.batches.values import plain
from dagma.ledger.texts import storable

OUTPUT_FORMAT = "output_format"
"""The variable of a template that holds how to answer, where the table has output columns."""


class TemplateFault(Exception):  # noqa: N818 (it says what happened)
    """A template can't be filled with one row: that row fails, and no other."""


class RowTemplates:
    """The templates of a table: the input, the session and the fields of the flow.

    Args:
        input: The input, such as `{{ row.text }}`.
        session: The session; None where each call has one of its own.
        tweaks: Values of component fields by component id. Texts in it are templates.
        output_format: How to answer. It is added to inputs whose template does not place it.

    Raises:
        RowsError: A template can't be read.
    """

    def __init__(
        self,
        input: str,  # noqa: A002 (as people write it)
        *,
        session: str | None = None,
        tweaks: Mapping[str, Any] | None = None,
        output_format: str = "",
    ) -> None:
        self._environment = _sandbox()
        self._input = self._template("input", input)
        self._session = None if session is None else self._template("session", session)
        self._tweaks = None if tweaks is None else self._templates("tweaks", tweaks)
        self._output_format = output_format
        self._adds_format = bool(output_format) and OUTPUT_FORMAT not in meta.find_undeclared_variables(
            self._environment.parse(input)
        )

    def fill(self, row: Mapping[str, Any]) -> "Question":
        """Fill the templates with a row.

        Args:
            row: The row.

        Raises:
            TemplateFault: The row lacks a column that a template names, or a template fails with its values.
        """
        variables = {"row": _Columns(row), OUTPUT_FORMAT: self._output_format}
        text = _rendered(self._input, variables)
        return Question(
            input=f"{text}\n\n{self._output_format}" if self._adds_format else text,
            session=None if self._session is None else _rendered(self._session, variables),
            tweaks=None if self._tweaks is None else _filled(self._tweaks, variables),
        )

    def _templates(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {each: self._templates(f"{name}.{each}", inner) for each, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._templates(name, inner) for inner in value]
        return self._template(name, value) if isinstance(value, str) else value

    def _template(self, name: str, text: str) -> Template:
        try:
            template = self._environment.from_string(text)
            strange = meta.find_undeclared_variables(self._environment.parse(text)) - {"row", OUTPUT_FORMAT}
        except TemplateSyntaxError as error:
            raise RowsError(f"The template {name!r} can't be read, in line {error.lineno}: {error.message}.") from None
        if strange:
            raise RowsError(
                f"The template {name!r} names {sorted(strange)[0]!r}, which it does not have. Columns are written "
                f"{{{{ row.{sorted(strange)[0]} }}}}."
            )
        return template


# How Jinja calls a row in its messages.
_OBJECT = "'dagma.batches.row_templates._Columns object'"


@dataclass(frozen=True)
class Question:
    """What a row asks: its input, session and tweaks."""

    input: str
    session: str | None = None
    tweaks: dict[str, Any] | None = None


class _Columns(Mapping[str, Any]):
    """A row whose columns win over the methods of a mapping: `row.items` is the column `items`."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._row:
            return self._row[name]
        return super().__getattribute__(name)

    def __getitem__(self, name: str) -> Any:
        return self._row[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


def _sandbox() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False, finalize=_shown
    )
    # Nothing that differs from one run to the next, else unchanged rows would be asked again.
    environment.globals = {"range": environment.globals["range"], "dict": dict}
    environment.filters.pop("random", None)
    return environment


def _shown(value: Any) -> Any:
    """Write nothing for a missing value, rather than `None` or `nan`."""
    return "" if value is None or (isinstance(value, float) and plain(value) is None) else value


def _rendered(template: Template, variables: Mapping[str, Any]) -> str:
    try:
        return storable(template.render(variables))
    except TemplateError as error:
        reason = (error.message or str(error)).replace(_OBJECT, "the row").replace("attribute", "column")
        raise TemplateFault(f"The template can't be filled with this row: {reason}.") from None
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        raise TemplateFault(
            f"The template can't be filled with this row ({type(error).__name__}): {str(error)[:500]}."
        ) from None


def _filled(value: Any, variables: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {each: _filled(inner, variables) for each, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    return _rendered(value, variables) if isinstance(value, Template) else value
