"""What a batch is told: what to ask of each row, what to keep, and when to stop."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from dagma.batches.errors import RowsError
from dagma.batches.output_columns import ANSWER, OutputColumns
from dagma.batches.row_templates import RowTemplates
from dagma.batches.values import Kind
from dagma.ledger.texts import storable

Refresh = Literal["changed", "failed", "all"]
Vanished = Literal["mark", "drop"]

OWN_COLUMNS = (
    *("row_key", "partition_key", "position", "asked", "generation", "error", "error_kind", "attempts", "call_id"),
    *("flow_version", "model", "tokens", "cost_usd", "seconds", "answered_at", "vanished_at"),
)
"""The columns that every table has. No column of the input or output can have one of these names."""

# PostgreSQL cuts names that are longer, and has columns of these names in each table.
MOST_NAME_BYTES = 63
SYSTEM_COLUMNS = ("tableoid", "ctid", "xmin", "cmin", "xmax", "cmax")
# PostgreSQL keeps a row in a page of 8 KB, and of each text the first 24 bytes at least.
MOST_COLUMNS = 300
MOST_CONCURRENCY = 200
OUTPUT_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """What a batch is told.

    Attributes:
        input: Template of the input, such as `{{ row.text }}`.
        key: The column that tells rows apart.
        flow: Id or endpoint name of the flow; None for the default flow.
        output: The output columns, such as `{label: {enum: [a, b]}, reason: string}`; None for the answer's text.
        keep: Further columns of the input that the result has.
        tweaks: Fields of the flow by component id; texts in it are templates.
        session: Template of the session; None gives each call one of its own.
        concurrency: How many calls may be in flight. The batch finds its own level below it.
        max_cost_usd: What the calls of this batch may cost together, in USD.
        max_failed: How many rows may fail: a number, or a share of the rows that are asked (0.05, or `5%`).
        sample: Ask so many rows only, and tell what all would cost.
        refresh: Which rows are asked again: `changed` (new, changed and failed ones), `failed` (new and failed ones)
            or `all`.
        vanished: What becomes of rows that are not in the input any more: `mark` or `drop`.
    """

    input: str
    key: str
    flow: str | None = None
    output: Mapping[str, Any] | None = None
    keep: tuple[str, ...] = ()
    tweaks: Mapping[str, Any] | None = None
    session: str | None = None
    concurrency: int = 8
    max_cost_usd: float | None = None
    max_failed: float | str | None = None
    sample: int | None = None
    refresh: Refresh = "changed"
    vanished: Vanished = "mark"
    columns: OutputColumns | None = field(init=False, repr=False)
    templates: RowTemplates = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check all that can be checked without the rows.

        Raises:
            RowsError: Something can't be used; the message says what, and what would do.
        """
        columns = None if self.output is None else OutputColumns.of(self.output)
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "keep", tuple(dict.fromkeys((self.key, *self.keep))))
        templates = RowTemplates(
            self.input,
            session=self.session,
            tweaks=self.tweaks,
            output_format=columns.instructions(self.input) if columns else "",
        )
        object.__setattr__(self, "templates", templates)
        self._check_names()
        _choice("refresh", self.refresh, get_args(Refresh))
        _choice("vanished", self.vanished, get_args(Vanished))
        _number("concurrency", self.concurrency, 1, MOST_CONCURRENCY)
        if self.sample is not None:
            _number("sample", self.sample, 1, None)
        if self.max_cost_usd is not None and not 0 < self.max_cost_usd < float("inf"):
            raise RowsError(f"max_cost_usd is {self.max_cost_usd}. Write USD, such as 5 or 0.5.")
        self.most_failures(0)

    @property
    def output_kinds(self) -> dict[str, Kind]:
        """The output columns, and what each holds."""
        if self.columns is None:
            return {ANSWER: "text"}
        return {column.name: column.kind for column in self.columns.columns}

    def most_failures(self, rows: int) -> int | None:
        """Say how many rows may fail; None for any number.

        Args:
            rows: How many are asked.

        Raises:
            RowsError: `max_failed` can't be read.
        """
        most = self.max_failed
        if most is None:
            return None
        if isinstance(most, int) and not isinstance(most, bool) and most >= 0:
            return most
        share: Any = most
        if isinstance(most, str):
            match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", most)
            share = float(match[1]) / 100 if match else None
        if isinstance(share, float) and 0 <= share <= 1:
            return int(rows * share)
        raise RowsError(f"max_failed is {most!r}. Write a number of rows, such as 10, or a share, such as 0.05 or 5%.")

    def _check_names(self) -> None:
        outputs = list(self.output_kinds)
        if len(self.keep) + len(outputs) > MOST_COLUMNS:
            raise RowsError(
                f"The table would have {len(self.keep) + len(outputs):,} columns of input and output, and can have "
                f"{MOST_COLUMNS:,}. Keep fewer."
            )
        for name in outputs if self.columns else ():
            if not OUTPUT_NAME.fullmatch(name):
                raise RowsError(f"The output column {name!r} is no name. Use letters, digits and underscores.")
        taken: dict[str, str] = dict.fromkeys((*OWN_COLUMNS, *SYSTEM_COLUMNS), "a column of every table")
        for name, what in [*((name, "input") for name in self.keep), *((name, "output") for name in outputs)]:
            if not name or storable(name) != name or len(name.encode()) > MOST_NAME_BYTES:
                raise RowsError(f"The {what} column {name[:80]!r} has a name that no table can have. Rename it.")
            if (other := taken.get(name.lower())) is not None:
                raise RowsError(f"The {what} column {name!r} has the name of {other}. Rename it.")
            taken[name.lower()] = f"the {what} column {name!r}"


def _choice(name: str, word: Any, words: tuple[str, ...]) -> None:
    if word not in words:
        raise RowsError(f"{name} is {word!r}. Choose one of: {', '.join(words)}.")


def _number(name: str, value: Any, least: int, most: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        raise RowsError(f"{name} is {value!r}. Write a whole number from {least}{f' to {most}' if most else ''}.")
