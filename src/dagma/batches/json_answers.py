"""The output columns of an answer: found in its text or its data, and repaired where only brackets are wrong."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dagma.batches.output_columns import AnswerFault, OutputColumns
from dagma.calls.answer import Answer

FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
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
    """Yield the JSON objects of a text, the likeliest first; brackets that are missing at the end are added.

    Args:
        text: What a model wrote: an object, maybe inside a fence or between other words.
    """
    text = _without_thoughts(text)
    for part in [text, *FENCE.findall(text)]:
        whole = _loaded(part.strip())
        if isinstance(whole, dict):
            yield whole
            return
    beginnings = [match.start() for match in re.finditer(r"\{", text)][:MOST_BEGINNINGS]
    end = 0
    for start in beginnings:
        if start < end:
            continue  # inside the object before
        for repair in (lambda tail: tail, closed):
            try:
                found, length = _DECODER.raw_decode(repair(text[start:]))
            except (ValueError, RecursionError):
                continue
            end = start + length
            if isinstance(found, dict):
                yield found
            break


def closed(text: str) -> str:
    """Add the brackets that are missing at the end of a JSON text, and leave out commas before a closing one.

    A text that ends inside a string was cut off, and is left as it is: what is missing are words.

    Args:
        text: The text, from the first bracket on.
    """
    written: list[str] = []
    opened: list[str] = []
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "{[":
            opened.append("}" if character == "{" else "]")
        elif character in "}]":
            _drop_comma(written)
            while opened and opened[-1] != character:  # an inner one was forgotten
                written.append(opened.pop())
            if opened:
                opened.pop()
            written.append(character)
            if not opened:
                break
            continue
        written.append(character)
    if in_string:
        return text
    _drop_comma(written)
    return "".join([*written, *reversed(opened)])


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


def _loaded(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def _drop_comma(written: list[str]) -> None:
    while written and written[-1] in ", \n\r\t":
        if written.pop() == ",":
            return
