"""What a call is taken to have used whose usage was not reported, so that limits on tokens and cost still close."""

from collections.abc import Sequence
from dataclasses import replace

from dagma.ledger.call import MOST_TOKENS, Usage

CHARACTERS_PER_TOKEN = 4
"""Roughly what tokenizers make of English; other languages and code have fewer characters a token."""


def fill_in(usages: Sequence[Usage], input_characters: int, answer_characters: int) -> tuple[Usage, ...]:
    """Put estimates where a usage was not reported, and leave what was.

    Args:
        usages: What was reported; none stands for one unnamed model that reported nothing.
        input_characters: How long the input is.
        answer_characters: How long the answer is.

    Returns:
        The usages, each with its input and output tokens.
    """
    read, written = _tokens(input_characters), _tokens(answer_characters)
    return tuple(_fill_in(usage, read, written) for usage in usages or [Usage()])


def _fill_in(usage: Usage, read: int, written: int) -> Usage:
    total = usage.total
    if total is None:
        known_read, known_written = usage.input_tokens or read, usage.output_tokens or written
        return Usage(model=usage.model, input_tokens=known_read, output_tokens=known_written)
    if usage.input_tokens is None or usage.output_tokens is None:
        # The total is known: the answer tells how to split it, which decides its price.
        written = min(written, total)
        return replace(usage, input_tokens=total - written, output_tokens=written)
    return usage


def _tokens(characters: int) -> int:
    return min(-(-characters // CHARACTERS_PER_TOKEN), MOST_TOKENS // 2)
