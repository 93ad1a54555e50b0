"""What `dagma ask` is given: the question, from wherever it comes, and the tweaks."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

STANDARD_INPUT = "-"
# Dagster stores the input with the run, and shows it.
MOST_BYTES = 5_000_000
TWEAKS = TypeAdapter(dict[str, dict[str, Any]])


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
    if (question is None) == (file is None):
        raise InputError(
            'Give one question: as an argument, "What is the capital of France?", or --file PATH, or - to read '
            "standard input."
        )
    source = STANDARD_INPUT if question == STANDARD_INPUT else file
    text = _read(source) if source is not None else str(question)
    if not text.strip():
        raise InputError("The question is empty. Ask something.")
    if re.search("[\0\ud800-\udfff]", text):
        raise InputError("The question is not UTF-8 text. Is it a binary file?")
    return text


def parse_tweaks(text: str) -> dict[str, Any]:
    """Read the tweaks of the command line.

    Raises:
        InputError: They are no JSON object of objects.
    """
    try:
        tweaks = TWEAKS.validate_json(text)
        json.dumps(tweaks, allow_nan=False)  # pydantic reads NaN and Infinity, which can't be sent
    except ValueError as error:
        cause = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InputError(
            f"--tweaks can't be read: {cause}. Write component ids with fields and values, such as "
            """'{"ChatInput-1": {"input_value": "Hello"}}'."""
        ) from None
    return tweaks


def _read(path: str) -> str:
    source = "Standard input" if path == STANDARD_INPUT else path
    try:
        if path == STANDARD_INPUT:
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{source} is larger than {MOST_BYTES:,} bytes. Give less.")
        return content.decode("utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError, AttributeError) as error:  # closed, no UTF-8, standard input is None
        raise InputError(f"{source} can't be read: {error}. Name a file with UTF-8 text.") from None
