"""What a backend can say of a call that was sent and whose end nobody saw."""

from dataclasses import dataclass, field
from typing import Any

from dagma.langflow import LangflowError


@dataclass(frozen=True)
class Answered:
    """It was answered.

    Attributes:
        response: The raw response, as near to that of a direct call as it can be had.
    """

    response: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Failed:
    """It ran, and has no answer.

    Attributes:
        error: Why.
    """

    error: LangflowError


@dataclass(frozen=True)
class NoAnswer:
    """It never began, or died with its server: no answer will ever come, and it may be sent again.

    Attributes:
        why: How that is known, in one sentence.
    """

    why: str


@dataclass(frozen=True)
class Running:
    """It goes on, or can't be asked for right now: ask again.

    Attributes:
        why: Which of these, in one sentence.
    """

    why: str


@dataclass(frozen=True)
class CannotTell:
    """Nobody can know, however often they ask.

    Attributes:
        why: Why not, in one sentence.
    """

    why: str


Finding = Answered | Failed | NoAnswer | Running | CannotTell
