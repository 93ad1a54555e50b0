"""Files that are handed to a flow: contents, or paths in the project's data folder, by the field that takes them."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagma import environment
from dagma.calls.templates import is_missing
from dagma.langflow import BadRequest
from dagma.project import data_folder, project_folder

DEFAULT_MOST_MB = 25.0
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,20}")
_STARTS = {
    b"%PDF-": ".pdf",
    b"\x89PNG\r\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
}


class BadFile(BadRequest):
    """A file can't be handed to a flow. Nothing was sent."""

    default_outcome = "not_run"


@dataclass(frozen=True)
class AttachedFile:
    """A file for a field of a flow.

    Attributes:
        digest: SHA-256 of its content, in hex. With the extension, but not the path, it decides the answer.
        extension: Its extension with the dot, by which components tell its kind.
        source: Where its content is, or the content itself.
    """

    digest: str
    extension: str
    source: Path | bytes = field(repr=False, compare=False)

    def read(self) -> bytes:
        """Read the content; a BadFile if it is gone, or is not what it was."""
        if isinstance(self.source, bytes):
            return self.source
        content = _content(self.source, f"The file {self.source.name!r}")
        if hashlib.sha256(content).hexdigest() != self.digest:
            raise BadFile(
                f"The file {self.source.name!r} has changed since the run began.", fix="Materialize the asset again."
            )
        return content


FieldFiles = Mapping[str, AttachedFile | tuple[AttachedFile, ...]]
"""Files by the field that takes them: `File-a1b2c.path`."""


def attach_files(files: Mapping[str, Any], tweaks: Mapping[str, Any] | None = None) -> FieldFiles:
    """Look at files before a call is made: their fields, paths, sizes and contents.

    By `component.field`, as in tweaks, they are bytes, a path, or a list of them. Relative paths start in the project's
    folder, as those of rows do; all have to lead into its data folder.

    A BadFile says which one can't be handed over, why, and what would do.
    """
    check_file_fields(files, tweaks)
    attached: dict[str, AttachedFile | tuple[AttachedFile, ...]] = {}
    for name, value in files.items():
        what = f"The file for {name!r}"
        is_list = isinstance(value, list | tuple)
        attached[name] = tuple(_one(each, what) for each in value) if is_list else _one(value, what)
    return attached


def check_file_fields(names: Iterable[str], tweaks: Mapping[str, Any] | None) -> None:
    """Raise a BadFile if one of them names no component and field, or one that has a tweak."""
    for name in names:
        component, field_name = _field_of(name)
        if not component or not field_name:
            raise BadFile(
                f"files names {name!r}.", fix="Name the component's id and the field, such as File-a1b2c.path."
            )
        values = (tweaks or {}).get(component)
        if isinstance(values, Mapping) and field_name in values:
            raise BadFile(f"Both files and tweaks set {name!r}.", fix="Leave one of them out.")


def with_paths(tweaks: Mapping[str, Any] | None, paths: Mapping[str, Any]) -> dict[str, Any]:
    """Add the paths of uploaded files to tweaks: by `component.field`, a path on the server or a list of them."""
    merged = {component: dict(values) for component, values in (tweaks or {}).items()}
    for name, path in paths.items():
        component, field_name = _field_of(name)
        merged.setdefault(component, {})[field_name] = path
    return merged


def identity_of(files: FieldFiles) -> dict[str, Any]:
    """Give what of files decides an answer, as JSON can hold it."""
    return {
        name: [[each.digest, each.extension] for each in (value if isinstance(value, tuple) else (value,))]
        for name, value in files.items()
    }


def most_bytes() -> int:
    """Read how large a file may be: `DAGMA_FILE_MAX_MB`."""
    return int(environment.positive_number("DAGMA_FILE_MAX_MB", DEFAULT_MOST_MB) * 1_000_000)


def _field_of(name: str) -> tuple[str, str]:
    component, _, field_name = name.rpartition(".")
    return component, field_name


def _one(value: Any, what: str) -> AttachedFile:
    if isinstance(value, AttachedFile):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        content = _bounded(bytes(value), what)
        extension = next((known for start, known in _STARTS.items() if content.startswith(start)), ".txt")
        return AttachedFile(hashlib.sha256(content).hexdigest(), extension, content)
    if isinstance(value, str | Path) and str(value).strip():
        path = _inside_data_folder(str(value), what)
        extension = path.suffix if _EXTENSION.fullmatch(path.suffix) else ""
        return AttachedFile(hashlib.sha256(_content(path, what)).hexdigest(), extension.lower(), path)
    told = "empty" if is_missing(value) or isinstance(value, str) else f"a {type(value).__name__}"
    raise BadFile(f"{what} is {told}.", fix="Give bytes, or a path in project/data.")


def _inside_data_folder(text: str, what: str) -> Path:
    """Follow a path and its links. What lies outside is refused before anything is said of whether it is there."""
    folder = data_folder().resolve()
    try:
        path = (project_folder() / text).resolve()
    except (OSError, RuntimeError, ValueError):
        raise BadFile(f"{what} has a path that can't be followed: {text[:200]!r}.", fix="Correct the path.") from None
    if not path.is_relative_to(folder):
        raise BadFile(
            f"{what} has the path {text[:200]!r}, which leads out of the project's data folder.",
            fix="Put the file into project/data, without links, and write its path as in data/invoices/1.pdf. For a "
            "file from elsewhere, give its content as bytes.",
        )
    return path


def _content(path: Path, what: str) -> bytes:
    try:
        if path.is_file():  # and no pipe, which would never end
            with path.open("rb") as file:
                return _bounded(file.read(most_bytes() + 1), what)
        reason = "no file is there"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise BadFile(
        f"{what} can't be read from {str(path)[-200:]!r}: {reason}.", fix="Correct the path, or add the file."
    ) from None


def _bounded(content: bytes, what: str) -> bytes:
    if len(content) > most_bytes():
        raise BadFile(
            f"{what} is larger than {most_bytes() / 1_000_000:g} MB.",
            fix="Make it smaller, or raise DAGMA_FILE_MAX_MB.",
        )
    return content
