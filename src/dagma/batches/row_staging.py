"""From rows as they come to rows as they are asked: their keys checked, their templates filled."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dagma.batches.batch_settings import BatchSettings
from dagma.batches.errors import RowsError
from dagma.batches.output_columns import OutputColumns
from dagma.batches.row_sources import Row
from dagma.batches.row_templates import Question
from dagma.batches.staged_rows import SHOWN_ROWS, StagedRow
from dagma.batches.values import Kind, common_kind, key_text, kind_of, plain
from dagma.calls.attached_files import BadFile, identity_of
from dagma.calls.templates import BadTemplateError
from dagma.ledger.texts import storable


@dataclass
class Staging:
    """Makes the rows of a batch: those whose column has the partition's value, or all where there is none."""

    settings: BatchSettings
    flow: str
    version: str | None
    partition: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        """Begin with no row read."""
        self.of_others = 0
        """How many rows were of other partitions."""
        self._kinds: dict[str, Kind | None] = dict.fromkeys(self.settings.keep)

    @property
    def kinds(self) -> dict[str, Kind]:
        """What the kept columns hold, once all rows were read; text where none has a value."""
        return {name: kind or "text" for name, kind in self._kinds.items()}

    def rows(self, rows: Iterable[Row]) -> Iterator[StagedRow]:
        """Yield the rows of the partition.

        Args:
            rows: All rows.

        Raises:
            RowsError: A kept column is missing or can't be kept, or rows have no key; the message names them.
        """
        without_key: list[str] = []
        for position, row in enumerate(rows, start=1):
            if self.partition and not _is_of(row, position, *self.partition):
                self.of_others += 1
                continue
            cell = _cell(row, self.settings.key, position, "is the key")
            try:
                key = key_text(cell)
            except ValueError as error:
                without_key.append(f"row {position} ({error})")
                if len(without_key) == SHOWN_ROWS:
                    break
                continue
            if not without_key:
                try:
                    staged = self._staged(row, position, key)
                except RecursionError:
                    raise RowsError(
                        f"Row {position} holds a list or object that is nested too deeply. Give a text."
                    ) from None
                yield staged
        if without_key:
            raise RowsError(
                f"Rows without a key in the column {self.settings.key!r}: {', '.join(without_key)}. Nothing was sent. "
                "Give each row a key."
            )

    def _staged(self, row: Row, position: int, key: str) -> StagedRow:
        kept: dict[str, Any] = {}
        for name in self.settings.keep:
            kept[name] = value = plain(_cell(row, name, position, "is kept"))
            self._kinds[name] = common_kind(self._kinds[name], kind_of(value))
        staged = StagedRow(position=position, key=key, kept=kept)
        try:
            question = self.settings.templates.fill(row)
        except (BadTemplateError, BadFile) as fault:
            kind = BadFile.__name__ if isinstance(fault, BadFile) else "TemplateFault"
            return replace(staged, fault=storable(str(fault)), fault_kind=kind)
        asked = _asked_hash(question, self.flow, self.version, self.settings.columns)
        return replace(staged, **vars(question), asked=asked)


def _asked_hash(question: Question, flow: str, version: str | None, output: OutputColumns | None) -> str:
    """Hash all that decides the answer of a row: its question and files, the flow's content, the output columns."""
    parts: list[Any] = [question.input, question.session, question.tweaks, flow, version, output and output.schema]
    if question.files:
        parts.append(identity_of(question.files))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _is_of(row: Row, position: int, column: str, partition: str) -> bool:
    cell = _cell(row, column, position, "partitions are told apart by")
    with suppress(ValueError):
        # A time belongs to its day.
        return key_text(cell) == partition or (isinstance(cell, datetime) and str(cell.date()) == partition)
    return False


def _cell(row: Row, column: str, position: int, why: str) -> Any:
    if column not in row:
        columns = ", ".join(map(repr, list(row)[:20])) or "none"
        raise RowsError(f"Row {position} has no column {column!r}, which {why}. It has: {columns}.")
    return row[column]
