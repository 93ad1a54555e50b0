"""Reads settings from environment variables; a variable that is empty counts as not set.

Every setting `NAME` can stand in a file instead, which `NAME_FILE` names: secrets then appear neither in the
environment of a process nor in `docker inspect`. So can the project's own variables, those of `project/.env`: as files
of the folder that `DAGMA_PROJECT_SECRETS_DIR` names, which containers with the project's code have.
"""

import getpass
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, overload

Word = TypeVar("Word", bound=str)
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})
MOST_DAYS = 36_500


class SettingError(ValueError):
    """An environment variable has a value that can't be used; the message says which, and what would do."""


@overload
def text(name: str, default: str, *, variables: Mapping[str, str] = os.environ) -> str: ...
@overload
def text(name: str, default: None = None, *, variables: Mapping[str, str] = os.environ) -> str | None: ...
def text(name: str, default: str | None = None, *, variables: Mapping[str, str] = os.environ) -> str | None:
    """Read a text, without surrounding blanks: the variable, the file that `NAME_FILE` names, or the project's own.

    Raises:
        SettingError: The file can't be read.
    """
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
    """Read a switch.

    Raises:
        SettingError: It is neither true nor false.
    """
    word = text(name)
    if word is None:
        return default
    if word.lower() in TRUE_WORDS | FALSE_WORDS:
        return word.lower() in TRUE_WORDS
    raise SettingError(f"{name} is {word!r}. Set it to true or false.")


def positive_number(name: str, default: float) -> float:
    """Read a number above zero.

    Raises:
        SettingError: It is no such number.
    """
    word = text(name)
    if word is None:
        return default
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise SettingError(f"{name} is {word!r}. Set it to a number above 0, such as {default:g}.")
    return number


def days(name: str, default: int, *, least: int = 1) -> int:
    """Read for how many days something is kept, at least so many, where 0 stands for ever.

    Raises:
        SettingError: It is no such number.
    """
    word = text(name)
    if word is None:
        return default
    if word.isascii() and word.isdecimal() and (int(word) == 0 or least <= int(word) <= MOST_DAYS):
        return int(word)
    raise SettingError(
        f"{name} is {word!r}. Set it to whole days, from {least} to {MOST_DAYS}, or to 0 to keep everything."
    )


def choice(name: str, words: tuple[Word, ...], default: Word) -> Word:
    """Read one of a few words.

    Raises:
        SettingError: It is none of them.
    """
    word = text(name)
    if word is None:
        return default
    for known in words:
        if word.lower() == known:
            return known
    raise SettingError(f"{name} is {word!r}. Set it to one of: {', '.join(words)}.")


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
