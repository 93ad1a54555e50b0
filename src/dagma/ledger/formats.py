"""Records as a table for people, as CSV for spreadsheets, as JSON lines for programs."""

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TextIO

FORMATS = ("table", "csv", "jsonl")
CELL_CHARACTERS = 60
# Spreadsheets run a cell that starts like this as a formula (East Asian ones too), and an answer may well do so.
FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def write_records(records: Iterable[Mapping[str, Any]], columns: Sequence[str], form: str, out: TextIO) -> None:
    """Write records.

    Args:
        records: The records; CSV and JSON lines are written one by one.
        columns: Which of their fields, in this order.
        form: `table`, `csv` or `jsonl`.
        out: Where to.
    """
    {"table": _write_table, "csv": _write_csv, "jsonl": _write_json_lines}[form](records, columns, out)


def show_value(value: Any) -> str:
    """Write a value for people: times in UTC to the second, exact amounts without an exponent, nothing as a dash."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Decimal):
        return show_decimal(value)
    return str(value)


def printable(text: str) -> str:
    """Take the control characters out of a text that anybody may have written, which a terminal would obey."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Take the control characters out of a text, ends of lines and tabs among them."""
    return re.sub("[\n\t]", " ", printable(text))


def show_decimal(value: Decimal) -> str:
    """Write an exact number without an exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _write_table(records: Iterable[Mapping[str, Any]], columns: Sequence[str], out: TextIO) -> None:
    rows = [[_cell(record[column]) for column in columns] for record in records]
    titles = [column.upper().replace("_", " ") for column in columns]
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    for row in [titles, *rows]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.write(line.rstrip() + "\n")


def _write_csv(records: Iterable[Mapping[str, Any]], columns: Sequence[str], out: TextIO) -> None:
    # Lines end as in RFC 4180: else a lone carriage return in a text would not be quoted, and begin a line.
    writer = csv.writer(out)
    writer.writerow(columns)
    for record in records:
        writer.writerow([_spreadsheet_cell(record[column]) for column in columns])


def _write_json_lines(records: Iterable[Mapping[str, Any]], columns: Sequence[str], out: TextIO) -> None:
    for record in records:
        out.write(json.dumps({column: _plain(record[column]) for column in columns}, ensure_ascii=False) + "\n")


def _cell(value: Any) -> str:
    text = one_line(show_value(value))
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return show_decimal(value) if isinstance(value, Decimal) else value


def _spreadsheet_cell(value: Any) -> Any:
    plain = _plain(value)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{plain}"
    return "" if plain is None else plain
