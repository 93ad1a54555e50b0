"""The rows of a batch on disk: read once, so that keys are checked and costs estimated before the first call."""

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dagma.batches.errors import RowsError
from dagma.calls.attached_files import AttachedFile, BadFile, FieldFiles
from dagma.project import storage_folder

CHUNK_ROWS = 1_000
SHOWN_ROWS = 10
TABLE = """
CREATE TABLE staged (
    position INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    kept TEXT NOT NULL,
    input TEXT NOT NULL,
    session TEXT,
    tweaks TEXT NOT NULL,
    files TEXT NOT NULL,
    asked TEXT,
    fault TEXT,
    fault_kind TEXT,
    state TEXT NOT NULL DEFAULT 'unchanged'
)
"""
INSERT = """
INSERT INTO staged (position, key, kept, input, session, tweaks, files, asked, fault, fault_kind)
VALUES (:position, :key, :kept, :input, :session, :tweaks, :files, :asked, :fault, :fault_kind)
"""
TWICE = f"SELECT key, count(*), min(position) FROM staged GROUP BY key HAVING count(*) > 1 LIMIT {SHOWN_ROWS}"  # noqa: S608
# The least key speaks for all rows that ask the same: the order of the rows may be another after a kill. In a session
# that rows name, each is asked: what was said before decides the answer.
EQUAL = """
UPDATE staged SET state = 'equal' WHERE state = 'ask' AND fault IS NULL AND session IS NULL AND EXISTS (
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
    """Rows in temporary files on the disk, in `storage_folder`. All methods belong to one thread.

    The files have no names: the system frees them with this object, or with the process, even if that is killed.
    """

    def __init__(self) -> None:
        folder = storage_folder()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._contents = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by close)
        self._places: dict[str, tuple[int, int]] = {}
        with tempfile.NamedTemporaryFile(dir=folder, prefix="dagma-batch-") as file:
            self._database = sqlite3.connect(file.name, isolation_level=None)
            self._database.row_factory = sqlite3.Row
            # Nothing of it outlives the process.
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE"):
                self._database.execute(f"PRAGMA {pragma}")
            self._database.execute(TABLE)

    def close(self) -> None:
        """Free the files."""
        self._database.close()
        self._contents.close()

    def add(self, rows: Iterable[StagedRow]) -> None:
        """Write rows, and check that no two have the same key.

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

    def first_if_all_faulty(self) -> StagedRow | None:
        """Give the first row if no row can be asked, since each has a fault; else None."""
        if self._database.execute("SELECT 1 FROM staged WHERE fault IS NULL LIMIT 1").fetchone():
            return None
        record = self._database.execute("SELECT * FROM staged ORDER BY position LIMIT 1").fetchone()
        return None if record is None else self._row(record)

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
                yield from map(self._row, records)

    def lacks(self, keys: Sequence[str]) -> list[str]:
        """Give those of some keys that no row has."""
        known = self._database.execute(
            "SELECT key FROM staged WHERE key IN (SELECT value FROM json_each(?))", [json.dumps(list(keys))]
        )
        return sorted(set(keys) - {key for (key,) in known})

    def _record(self, row: StagedRow) -> dict[str, Any]:
        files = None if row.files is None else {name: self._kept(each) for name, each in row.files.items()}
        kept = json.dumps(row.kept, ensure_ascii=False)
        return {**vars(row), "kept": kept, "tweaks": json.dumps(row.tweaks), "files": json.dumps(files)}

    def _kept(self, files: AttachedFile | tuple[AttachedFile, ...]) -> list[Any]:
        """Write contents to the disk, each once, and give where they are."""
        if isinstance(files, tuple):
            return [self._kept(each) for each in files]
        if isinstance(files.source, Path):
            return [files.digest, files.extension, str(files.source)]
        if files.digest not in self._places:
            content = files.read()
            self._places[files.digest] = (self._contents.tell(), len(content))
            self._contents.write(content)
            self._contents.flush()
        return [files.digest, files.extension, self._places[files.digest]]

    def _content(self, place: int, size: int) -> bytes:
        """Read a content, in any thread."""
        try:
            return os.pread(self._contents.fileno(), size, place)
        except (OSError, ValueError):
            raise BadFile("A file's content can't be read: its batch has ended.", fix="Ask the row again.") from None

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
            yield [self._row(record) for record in records]

    def _row(self, record: sqlite3.Row) -> StagedRow:
        values = {name: record[name] for name in record.keys() if name != "state"}  # noqa: SIM118 (a row gives values)
        values |= {name: json.loads(record[name]) for name in ("kept", "tweaks", "files")}
        files = values["files"] and {name: self._attached(each) for name, each in values["files"].items()}
        return StagedRow(**{**values, "files": files})

    def _attached(self, value: Any) -> AttachedFile | tuple[AttachedFile, ...]:
        if value and isinstance(value[0], list):
            return tuple(self._file(each) for each in value)
        return self._file(value) if value else ()

    def _file(self, value: list[Any]) -> AttachedFile:
        digest, extension, where = value
        return AttachedFile(
            digest, extension, Path(where) if isinstance(where, str) else partial(self._content, *where)
        )
