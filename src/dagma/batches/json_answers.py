"""The output columns of an answer: found in its text or its data, and repaired where only brackets are wrong."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json

from dagma.batches.output_columns import AnswerFault, OutputColumns
from dagma.calls.answer import Answer

# More than any answer that one asks for, and few enough that a text of nothing but brackets costs nothing.
MOST_BEGINNINGS = 20
# Models write the line breaks of a text as they are.
_DECODER = json.JSONDecoder(strict=False)


def columns_of(answer: Answer, output: OutputColumns) -> dict[str, Any]:
    """Give the output columns of an answer.

    Args:
        answer: The answer: a text with a JSON object in it, or data. Where the output is one column, a text without
            an object is taken as its value. What a reasoning model thought before its answer is left out.
        output: The columns that were asked for.

    Raises:
        AnswerFault: It does not give them; the message says why.
    """
    fault: AnswerFault | None = None
    for found in _objects_of(answer, output.told_form):
        try:
            return output.checked(found)
        except AnswerFault as error:
            fault = fault or error
    if fault is not None:
        raise fault
    text = _without_thoughts(answer.text or "")
    if output.form in text:
        raise AnswerFault("It repeats the form, and answers nothing.")
    if answer.text is not None and len(output.columns) == 1:
        (column,) = output.columns
        if not column.enum and re.search(rf"\{{\s*[\"']?{re.escape(column.name)}[\"']?\s*:", text):
            raise AnswerFault("Its JSON object can't be read.")
        return output.checked({column.name: text.strip()})
    raise AnswerFault("There is no JSON object in it.")


def objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a text, in their order; brackets that are missing at the end are added.

    Args:
        text: What a model wrote: an object, maybe inside a fence or between other words.
    """
    text, end = _without_thoughts(text), 0
    for begun in itertools.islice(re.finditer(r"\{", text), MOST_BEGINNINGS):
        if begun.start() < end:
            continue  # inside the object before
        try:
            found, end = _DECODER.raw_decode(text, begun.start())
            yield found
        except (ValueError, RecursionError):
            if found := _completed(text[begun.start() :]):
                yield found
                return


def _completed(text: str) -> dict[str, Any] | None:
    """Read an object whose end is missing; None if more than brackets is: one that ends inside a string was cut off."""
    if len(re.findall(r'(?<!\\)"', text)) % 2:
        return None
    try:
        found: dict[str, Any] = from_json(text, allow_partial=True)
    except ValueError:
        return None
    return found


def _objects_of(answer: Answer, told_form: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of an answer; the form in a question that was repeated is none."""
    if answer.text is not None:
        yield from objects_in(answer.text.replace(told_form, ""))
        return
    for value in answer.outputs.values():
        if isinstance(value, str):
            yield from objects_in(value.replace(told_form, ""))
        elif isinstance(value, Mapping):
            yield value
            yield from (inner for inner in value.values() if isinstance(inner, Mapping))
        elif isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
            yield value[0]


def _without_thoughts(text: str) -> str:
    rest = text.rpartition("</think>")[2]
    if rest.lstrip().startswith("<think>"):
        raise AnswerFault("It ends inside <think>, before any answer.")
    return rest
