"""What a batch is told: what to ask of each row, what to keep, and when to stop."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import dagster as dg
import pydantic
from pydantic import Field, TypeAdapter

from dagma.batches.errors import RowsError
from dagma.batches.output_columns import ANSWER, OutputColumns
from dagma.batches.row_templates import RowTemplates
from dagma.batches.table_columns import OWN_COLUMNS
from dagma.batches.values import Kind
from dagma.ledger.texts import storable

Refresh = Literal["changed", "failed", "all"]
Vanished = Literal["mark", "drop"]

# PostgreSQL cuts names that are longer.
MOST_NAME_BYTES = 63
OUTPUT_NAME = re.compile(r"[A-Za-z_]\w*")
# What SQLAlchemy writes for these, in small letters; for others it is an underscore, or the character itself.
_IN_BINDS = str.maketrans("%():", "pazc")
_CHECKS: Mapping[str, TypeAdapter[Any]] = {
    "key": TypeAdapter(str),
    "input": TypeAdapter(str),
    "keep": TypeAdapter(Sequence[str]),
    "session": TypeAdapter(str | None),
    "tweaks": TypeAdapter(Mapping[str, Mapping[str, Any]] | None),
    "files": TypeAdapter(Mapping[str, Any] | None),
    "refresh": TypeAdapter(Refresh),
    "vanished": TypeAdapter(Vanished),
    "concurrency": TypeAdapter(Annotated[int, Field(ge=1, le=200)]),
    "sample": TypeAdapter(Annotated[int, Field(ge=1)] | None),
    "max_cost_usd": TypeAdapter(Annotated[float, Field(gt=0, allow_inf_nan=False)] | None),
    "max_failed": TypeAdapter(
        Annotated[int, Field(ge=0)]
        | Annotated[float, Field(ge=0, le=1)]
        | Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s*%$")]
        | None
    ),
}
"""What each attribute may be, beside its templates and columns."""


def _plain(description: str) -> dg.Resolver:
    """Describe a setting that YAML may take from Dagster's scope, as in `{{ env.NAME }}`."""
    resolver: dg.Resolver = dg.Resolver.default(description=description)
    return resolver


def _template(description: str) -> dg.Resolver:
    """Describe a setting whose templates are filled in for each row, and not when the YAML is loaded."""
    resolver: dg.Resolver = dg.Resolver.passthrough(description=description)
    return resolver


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """What a batch is told. The attributes of `dagma.FlowTable` in YAML are these, with these descriptions."""

    key: Annotated[str, _plain("The column that tells rows apart.")]
    input: Annotated[str, _template("What to ask of a row, as a Jinja template: {{ row.text }}.")]
    flow: Annotated[str | None, _plain("Id or endpoint name of the flow. Default: the default flow.")] = None
    output: Annotated[
        Mapping[str, Any] | None,
        _template("Columns to answer with: {label: {enum: [a, b]}, reason: string}. Default: the answer's text."),
    ] = None
    keep: Annotated[Sequence[str], _plain("Columns of the input that the table has, beside the key.")] = ()
    tweaks: Annotated[
        Mapping[str, Any] | None, _template("Fields of the flow by component id; texts in it are templates.")
    ] = None
    files: Annotated[
        Mapping[str, Any] | None,
        _template(
            "Files for fields of the flow: {File-a1b2c.path: 'data/{{ row.file }}'}, or a column of bytes, or a list."
        ),
    ] = None
    session: Annotated[str | None, _template("Template of a session that calls share. Default: one for each call.")] = (
        None
    )
    concurrency: Annotated[int, _plain("How many calls may be in flight. The batch finds its own level below it.")] = 8
    max_cost_usd: Annotated[float | None, _plain("What the calls of one batch may cost together, in USD.")] = None
    max_failed: Annotated[
        int | float | str | None,
        _plain("How many rows may fail: a number, or a share of the rows asked, such as 0.05 or 5%."),
    ] = None
    sample: Annotated[int | None, _plain("Ask so many rows only, and tell what all would cost.")] = None
    refresh: Annotated[
        Refresh,
        _plain("Which rows are asked again: changed (and new and failed ones), failed (and new ones) or all."),
    ] = "changed"
    vanished: Annotated[Vanished, _plain("What becomes of rows that are not in the input any more: mark or drop.")] = (
        "mark"
    )

    def __post_init__(self) -> None:
        """Check all that can be checked without the rows.

        Raises:
            RowsError: Something can't be used; the message says what, and what would do.
        """
        for name, check in _CHECKS.items():
            try:
                check.validate_python(getattr(self, name), strict=True)
            except pydantic.ValidationError as error:
                causes = dict.fromkeys(each["msg"] for each in error.errors())
                raise RowsError(f"{name} can't be used: {', or: '.join(causes)}.") from None
        object.__setattr__(self, "keep", tuple(dict.fromkeys((self.key, *self.keep))))
        self._check_names()
        _ = self.templates

    @cached_property
    def columns(self) -> OutputColumns | None:
        """The output columns; None for the answer's text."""
        return None if self.output is None else OutputColumns.of(self.output)

    @cached_property
    def templates(self) -> RowTemplates:
        """What is asked of a row."""
        output_format = self.columns.instructions(self.input) if self.columns else ""
        return RowTemplates(
            self.input, session=self.session, tweaks=self.tweaks, files=self.files, output_format=output_format
        )

    @property
    def output_kinds(self) -> dict[str, Kind]:
        """The output columns, and what each holds."""
        if self.columns is None:
            return {ANSWER: "text"}
        return {column.name: column.kind for column in self.columns.columns}

    def most_failures(self, rows: int) -> int | None:
        """Say how many of the rows that are asked may fail; None for any number."""
        most = self.max_failed
        if isinstance(most, str):
            most = float(most.rstrip("% ")) / 100
        # Rounded, since 100 * 0.29 is a bit less than 29.
        return int(round(rows * most, 6)) if isinstance(most, float) else most

    def _check_names(self) -> None:
        outputs = list(self.output_kinds)
        for name in outputs if self.columns else ():
            if not OUTPUT_NAME.fullmatch(name):
                raise RowsError(f"{name!r} can't name an output column. Use letters, digits and underscores.")
        taken = dict.fromkeys(OWN_COLUMNS, "a column of every table")
        inputs = [(name, "key" if name == self.key else "keep") for name in self.keep]
        for name, what in [*inputs, *((name, "output") for name in outputs)]:
            if not name or storable(name) != name or len(name.encode()) > MOST_NAME_BYTES:
                raise RowsError(f"The column {name[:80]!r} of {what} has a name that no table can have. Rename it.")
            # SQLAlchemy takes `a b` and `a_b` as one, and so `x%` and `xP`.
            alike = re.sub(r"\W", "_", name.lower().translate(_IN_BINDS))
            if (other := taken.get(alike)) is not None:
                raise RowsError(f"The column {name!r} of {what} has the name of {other}, or almost. Rename it.")
            taken[alike] = f"the column {name!r} of {what}"
