"""The rows of a batch on disk: read once, so that keys are checked and costs estimated before the first call."""

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dagma.batches.errors import RowsError
from dagma.calls.attached_files import AttachedFile, FieldFiles

CHUNK_ROWS = 1_000
SHOWN_ROWS = 10
TABLE = """
CREATE TABLE staged (
    position INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    kept TEXT NOT NULL,
    input TEXT NOT NULL,
    session TEXT,
    tweaks TEXT,
    files TEXT,
    asked TEXT,
    fault TEXT,
    fault_kind TEXT,
    state TEXT NOT NULL DEFAULT 'unchanged'
)
"""
INSERT = (
    "INSERT INTO staged (position, key, kept, input, session, tweaks, files, asked, fault, fault_kind)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
TWICE = f"SELECT key, count(*), min(position) FROM staged GROUP BY key HAVING count(*) > 1 LIMIT {SHOWN_ROWS}"  # noqa: S608
# The least key speaks for all rows that ask the same: the order of the rows may be another after a kill.
EQUAL = """
UPDATE staged SET state = 'equal' WHERE state = 'ask' AND fault IS NULL AND EXISTS (
    SELECT 1 FROM staged other
    WHERE other.asked = staged.asked AND other.state IN ('ask', 'equal') AND other.key < staged.key
)
"""


@dataclass(frozen=True)
class StagedRow:
    """One row of the batch.

    Attributes:
        position: Its place in the input, from 1.
        key: Its key.
        kept: The columns of the input that the table keeps.
        input: What is asked.
        session: The session of its call, if it is not of its own.
        tweaks: Values of the flow's fields.
        files: Files for the flow's fields.
        asked: Hash of all that decides the answer.
        fault: Why nothing can be asked.
        fault_kind: What kind of error that is.
    """

    position: int
    key: str
    kept: Mapping[str, Any]
    input: str = ""
    session: str | None = None
    tweaks: dict[str, Any] | None = None
    files: FieldFiles | None = None
    asked: str | None = None
    fault: str | None = None
    fault_kind: str | None = None


class StagedRows:
    """Rows in a temporary file, which goes with this object. All methods belong to one thread."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dagma-batch-")
        self._database = sqlite3.connect(Path(self._folder.name) / "rows.db", isolation_level=None)
        # Nothing of it outlives the process.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute(TABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._folder.cleanup()

    def add(self, rows: Iterable[StagedRow]) -> None:
        """Write rows, and check that no two have the same key.

        Args:
            rows: The rows.

        Raises:
            RowsError: Keys are there twice; the message names them.
        """
        self._database.execute("BEGIN")
        self._database.executemany(INSERT, map(self._record, rows))
        self._database.execute("COMMIT")
        self._database.execute("CREATE INDEX staged_key ON staged (key)")
        twice = self._database.execute(TWICE).fetchall()
        if twice:
            shown = ", ".join(f"{key!r} ({count} rows, the first is row {first})" for key, count, first in twice)
            raise RowsError(f"Some keys appear more than once: {shown}. Nothing was sent. Make them unique.")

    def mark(self, decide: Callable[[Mapping[str, StagedRow]], Iterable[str]]) -> None:
        """Mark the rows that are to be asked; of rows that ask the same, one is asked for all.

        Args:
            decide: Gives, for some rows by key, the keys of those that are to be asked.
        """
        for rows in self._chunks("1 = 1"):
            asked = list(decide({row.key: row for row in rows}))
            self._database.execute("BEGIN")
            self._database.executemany("UPDATE staged SET state = 'ask' WHERE key = ?", [(key,) for key in asked])
            self._database.execute("COMMIT")
        self._database.execute("CREATE INDEX staged_asked ON staged (asked, key)")
        self._database.execute(EQUAL)

    def count(self, state: str | None = None) -> int:
        """Count the rows that are `unchanged`, to `ask` or `equal` to one that is asked; without a state, all."""
        if state is None:
            return int(self._database.execute("SELECT count(*) FROM staged").fetchone()[0])
        return int(self._database.execute("SELECT count(*) FROM staged WHERE state = ?", [state]).fetchone()[0])

    def to_ask(self) -> Iterator[StagedRow]:
        """Yield the rows that are to be asked, in the order of the input, those with a fault among them."""
        for rows in self._chunks("state = 'ask'"):
            yield from rows

    def unchanged(self) -> Iterator[list[StagedRow]]:
        """Yield the rows that are not asked, in chunks."""
        yield from self._chunks("state = 'unchanged'")

    def equal_to(self, asked: str) -> Iterator[StagedRow]:
        """Yield the rows that get the answer of another one."""
        with closing(self._database.cursor()) as cursor:
            cursor.execute("SELECT * FROM staged WHERE asked = ? AND state = 'equal'", [asked])
            while records := cursor.fetchmany(CHUNK_ROWS):
                yield from map(_row, records)

    def lacks(self, keys: Sequence[str]) -> list[str]:
        """Give those of some keys that no row has."""
        known = self._database.execute(
            "SELECT key FROM staged WHERE key IN (SELECT value FROM json_each(?))", [json.dumps(list(keys))]
        )
        return sorted(set(keys) - {key for (key,) in known})

    def _record(self, row: StagedRow) -> tuple[Any, ...]:
        tweaks = None if row.tweaks is None else json.dumps(row.tweaks)
        files = None if row.files is None else json.dumps({name: self._kept(each) for name, each in row.files.items()})
        kept = json.dumps(row.kept, ensure_ascii=False)
        question = (row.input, row.session, tweaks, files)
        return (row.position, row.key, kept, *question, row.asked, row.fault, row.fault_kind)

    def _kept(self, files: AttachedFile | tuple[AttachedFile, ...]) -> list[Any]:
        """Write contents to the disk, each once, and give where they are."""
        if isinstance(files, tuple):
            return [self._kept(each) for each in files]
        path = files.source
        if isinstance(path, bytes):
            path = Path(self._folder.name) / files.digest
            if not path.exists():
                path.write_bytes(files.read())
        return [files.digest, files.extension, str(path)]

    def _chunks(self, condition: str) -> Iterator[list[StagedRow]]:
        last = 0
        while True:
            records = self._database.execute(
                f"SELECT * FROM staged WHERE position > ? AND {condition} ORDER BY position LIMIT {CHUNK_ROWS}",  # noqa: S608
                [last],
            ).fetchall()
            if not records:
                return
            last = records[-1][0]
            yield [_row(record) for record in records]


def _row(record: tuple[Any, ...]) -> StagedRow:
    position, key, kept, text, session, tweaks, files, asked, fault, fault_kind, _state = record
    return StagedRow(
        position=position,
        key=key,
        kept=json.loads(kept),
        input=text,
        session=session,
        tweaks=None if tweaks is None else json.loads(tweaks),
        files=None if files is None else {name: _attached(value) for name, value in json.loads(files).items()},
        asked=asked,
        fault=fault,
        fault_kind=fault_kind,
    )


def _attached(value: Any) -> AttachedFile | tuple[AttachedFile, ...]:
    if value and isinstance(value[0], list):
        return tuple(_file(each) for each in value)
    return _file(value) if value else ()


def _file(value: list[str]) -> AttachedFile:
    digest, extension, path = value
    return AttachedFile(digest, extension, Path(path))
