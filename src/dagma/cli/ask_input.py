"""What `dagma ask` is given: the question, from wherever it comes, and the tweaks."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

STANDARD_INPUT = "-"
# Dagster stores the input with the run, and shows it.
MOST_BYTES = 5_000_000
_TWEAKS_EXAMPLE = """'{"ChatInput-1": {"input_value": "Hello"}}'"""


class InputError(Exception):
    """What was given can't be sent; the message says why, and what would do."""


def read_question(question: str | None, file: str | None) -> str:
    """Get the question from the command line, a file or standard input.

    Args:
        question: As it stands on the command line; `-` for standard input.
        file: Path of a file; `-` for standard input.

    Returns:
        The text, without line breaks at its end where it was read.

    Raises:
        InputError: There is none, or more than one, or it is no text.
    """
    if question is not None and file is not None:
        raise InputError("There are two questions: one on the command line and one in --file. Give one of them.")
    if question is None and file is None:
        raise InputError(
            'There is no question. Give it as an argument, "What is the capital of France?", or --file PATH, or - to '
            "read standard input."
        )
    if file is not None:
        text = _read(file)
    elif question == STANDARD_INPUT:
        text = _read(STANDARD_INPUT)
    else:
        text = str(question)
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise InputError("The question is no UTF-8 text. Give it in UTF-8.")
    if not text.strip():
        raise InputError("The question is empty. Ask something.")
    if "\0" in text:
        raise InputError("The question holds a NUL character, which no text has. Is it a binary file?")
    return text


def parse_tweaks(text: str) -> dict[str, Any]:
    """Read the tweaks of the command line.

    Raises:
        InputError: They are no JSON object of objects.
    """
    example = f"Write component ids with fields and values, such as {_TWEAKS_EXAMPLE}"
    try:
        tweaks = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InputError(f"--tweaks is nested too deeply. {example}.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"--tweaks is no JSON: {error.msg} at character {error.pos + 1}. {example}.") from None
    except ValueError as error:
        raise InputError(f"--tweaks is no JSON: {error}. {example}.") from None
    if not isinstance(tweaks, dict) or not all(isinstance(fields, dict) for fields in tweaks.values()):
        raise InputError(f"--tweaks must be an object of objects. {example}.")
    return tweaks


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _read(path: str) -> str:
    source = "Standard input" if path == STANDARD_INPUT else path
    try:
        with nullcontext(sys.stdin.buffer) if path == STANDARD_INPUT else Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError, AttributeError) as error:  # closed, standard input is None
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(f"{source} can't be read: {reason}. Name a readable file.") from None
    if len(content) > MOST_BYTES:
        raise InputError(f"{source} is larger than {MOST_BYTES:,} bytes. Give less.")
    try:
        return content.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source} is no UTF-8 text (byte {error.start + 1} can't be read). Convert it first, such as with iconv."
        ) from None
