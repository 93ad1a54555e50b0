"""An answer beside its materialization: a text, a table or JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from dagma.calls.answer import Answer

# How much of an answer that is no text is shown. The materialized value has all of it.
MOST_ROWS = 100
MOST_COLUMNS = 50
MOST_CELL = 1_000
MOST_CHARACTERS = 20_000


def show_answer(answer: Answer) -> dict[str, Any]:
    """Show an answer under the label `answer`; of a long table or JSON its beginning, and how much there is.

    Args:
        answer: The answer.
    """
    content: Any = answer.text
    if content is None:
        content = next(iter(answer.outputs.values())) if len(answer.outputs) == 1 else dict(answer.outputs)
    if isinstance(content, str):
        # Plain text: as Markdown, an answer could make the reader's browser load an address of the model's choice.
        return {"answer": dg.MetadataValue.text(content)}
    if content and isinstance(content, list) and all(isinstance(row, Mapping) for row in content):
        return {"answer": _table(content), **({"answer_rows": len(content)} if len(content) > MOST_ROWS else {})}
    if content is None or content == {}:
        return {"answer": dg.MetadataValue.text("(The flow gave an output that holds nothing.)")}
    shown = json.dumps(content, ensure_ascii=False, indent=2)
    if len(shown) > MOST_CHARACTERS:
        cut = f"{shown[:MOST_CHARACTERS]}\n..."
        return {"answer": dg.MetadataValue.text(cut), "answer_characters": len(shown)}
    return {"answer": dg.MetadataValue.json(content)}


def _table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    shown = rows[:MOST_ROWS]
    columns = list(dict.fromkeys(str(name) for row in shown for name in row))[:MOST_COLUMNS]
    records = [dg.TableRecord({column: _cell(row.get(column)) for column in columns}) for row in shown]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(column, "any") for column in columns]))


def _cell(value: Any) -> str | int | float | bool:
    """Write a value as Dagster's tables can hold it."""
    if isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_CELL else f"{text[:MOST_CELL]}..."
