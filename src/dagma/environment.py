"""Reads settings from environment variables; a variable that is empty counts as not set.

Every setting `NAME` can stand in a file instead, which `NAME_FILE` names: secrets then appear neither in the
environment of a process nor in `docker inspect`. So can the project's own variables, those of `project/.env`: as files
of the folder that `DAGMA_PROJECT_SECRETS_DIR` names, which containers with the project's code have.
"""

import getpass
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, overload

Word = TypeVar("Word", bound=str)
Value = TypeVar("Value")
SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
MOST_DAYS = 36_500


class SettingError(ValueError):
    """An environment variable has a value that can't be used; the message says which, and what would do."""


@overload
def text(name: str, default: str, *, variables: Mapping[str, str] = os.environ) -> str: ...
@overload
def text(name: str, default: None = None, *, variables: Mapping[str, str] = os.environ) -> str | None: ...
def text(name: str, default: str | None = None, *, variables: Mapping[str, str] = os.environ) -> str | None:
    """Read a text, without surrounding blanks: the variable, the file that `NAME_FILE` names, or the project's own."""
    path = variables.get(f"{name}_FILE", "").strip()
    return (
        variables.get(name, "").strip()
        or (_text_of_file(f"{name}_FILE", path) if path else None)
        or _text_of_project(name, variables)
        or default
    )


def secret(name: str) -> str:
    """Read a variable of the project, such as a key: from `project/.env`, or where any setting may stand.

    Raises:
        SettingError: It is not set, or its file can't be read.
    """
    value = text(name)
    if value is None:
        raise SettingError(f"{name} is not set. Write {name}=... into project/.env, then run: make up")
    return value


def flag(name: str, *, default: bool) -> bool:
    """Read a switch; a SettingError if it is neither true nor false."""
    return _read(name, default, lambda word: SWITCH[word.lower()], "true or false")


def positive_number(name: str, default: float) -> float:
    """Read a number above zero; a SettingError if it is none."""

    def parsed(word: str) -> float:
        number = float(word)
        if not 0 < number < float("inf"):
            raise ValueError(word)
        return number

    return _read(name, default, parsed, f"a number above 0, such as {default:.15g}")


def days(name: str, default: int, *, least: int = 1) -> int:
    """Read for how many days something is kept, at least so many, where 0 stands for ever; else a SettingError."""

    def parsed(word: str) -> int:
        number = int(word)
        if number != 0 and not least <= number <= MOST_DAYS:
            raise ValueError(word)
        return number

    return _read(name, default, parsed, f"whole days, from {least} to {MOST_DAYS}, or to 0 to keep everything")


def choice(name: str, words: tuple[Word, ...], default: Word) -> Word:
    """Read one of a few words; a SettingError if it is none of them."""
    return _read(name, default, lambda word: words[words.index(word.lower())], f"one of: {', '.join(words)}")


def _read(name: str, default: Value, parse: Callable[[str], Value], expected: str) -> Value:
    word = text(name)
    if word is None:
        return default
    try:
        return parse(word)
    except (KeyError, ValueError):
        raise SettingError(f"{name} is {word!r}. Set it to {expected}.") from None


def user_name() -> str:
    """Name the user of this process; by their number where they have no name, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _text_of_project(name: str, variables: Mapping[str, str]) -> str | None:
    folder = variables.get("DAGMA_PROJECT_SECRETS_DIR", "").strip()
    path = Path(folder, name)
    return _text_of_file(name, str(path)) if folder and name.isidentifier() and path.is_file() else None


def _text_of_file(variable: str, path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingError(f"{variable} is {path!r}, which can't be read: {reason}. Name a readable file.") from None
