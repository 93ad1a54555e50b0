"""An answer beside its materialization: a text, a table or JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from dagma.calls.answer import Answer

# How much of an answer that is no text is shown. The materialized value has all of it.
MOST_ROWS = 100
MOST_COLUMNS = 50
MOST_CELL = 1_000
MOST_CHARACTERS = 20_000


def show_answer(answer: Answer) -> dict[str, Any]:
    """Show an answer under the label `answer`; of a long table or JSON its beginning, and how much there is."""
    content: Any = answer.text
    if content is None:
        content = next(iter(answer.outputs.values())) if len(answer.outputs) == 1 else dict(answer.outputs)
    if isinstance(content, str):
        # Plain text: as Markdown, an answer could make the reader's browser load an address of the model's choice.
        return {"answer": dg.MetadataValue.text(content)}
    if content and isinstance(content, list) and all(isinstance(row, Mapping) for row in content):
        columns = list(dict.fromkeys(str(name) for row in content[:MOST_ROWS] for name in row))[:MOST_COLUMNS]
        shown_rows = show_table(content[:MOST_ROWS], columns, MOST_CELL)
        return {"answer": shown_rows, **({"answer_rows": len(content)} if len(content) > MOST_ROWS else {})}
    if content is None or content == {}:
        return {"answer": dg.MetadataValue.text("(The flow gave an output that holds nothing.)")}
    shown = json.dumps(content, ensure_ascii=False, indent=2)
    if len(shown) > MOST_CHARACTERS:
        cut = f"{shown[:MOST_CHARACTERS]}\n..."
        return {"answer": dg.MetadataValue.text(cut), "answer_characters": len(shown)}
    return {"answer": dg.MetadataValue.json(content)}


def show_table(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], most_characters: int
) -> dg.TableMetadataValue:
    """Show rows with plain cells: as Markdown, too, an answer could load an address of the model's choice.

    Args:
        rows: The rows.
        columns: Which columns to show.
        most_characters: How much of a cell is shown.
    """
    records = [dg.TableRecord({name: _cell(row.get(name), most_characters) for name in columns}) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(name, "any") for name in columns]))


def _cell(value: Any, most_characters: int) -> str | int | float | bool:
    """Write a value as Dagster's tables can hold it."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return value
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return text if len(text) <= most_characters else f"{text[:most_characters]}..."
