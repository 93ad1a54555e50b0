"""The rows of a batch on disk: read once, so that keys are checked and costs estimated before the first call."""

import json
import pickle
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dagma.batches.errors import RowsError
from dagma.calls.attached_files import FieldFiles
from dagma.project import storage_folder

CHUNK_ROWS = 1_000
SHOWN_ROWS = 10
TABLE = """
CREATE TABLE staged (
    position INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    asked TEXT,
    session TEXT,
    fault TEXT,
    row BLOB NOT NULL,
    files BLOB,
    state TEXT NOT NULL DEFAULT 'unchanged'
)
"""
INSERT = """
INSERT INTO staged (position, key, asked, session, fault, row, files)
VALUES (:position, :key, :asked, :session, :fault, :row, :files)
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
    """One row of the batch, with all that is asked of it."""

    position: int
    """Its place in the input, from 1."""
    key: str
    kept: Mapping[str, Any]
    """The columns of the input that the table keeps."""
    input: str = ""
    session: str | None = None
    tweaks: dict[str, Any] | None = None
    files: FieldFiles | None = None
    asked: str | None = None
    """Hash of all that decides the answer."""
    fault: str | None = None
    """Why nothing can be asked."""
    fault_kind: str | None = None


class StagedRows:
    """Rows in a temporary file on the disk, in `storage_folder`. All methods belong to one thread.

    The file has no name: the system frees it with this object, or with the process, even if that is killed.
    """

    def __init__(self) -> None:
        folder = storage_folder()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="dagma-batch-") as file:
            self._database = sqlite3.connect(file.name, isolation_level=None)
            # Nothing of it outlives the process.
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE"):
                self._database.execute(f"PRAGMA {pragma}")
            self._database.execute(TABLE)

    def close(self) -> None:
        """Free the file."""
        self._database.close()

    def add(self, rows: Iterable[StagedRow]) -> None:
        """Write rows, and check that no two have the same key.

        Raises:
            RowsError: Keys are there twice; the message names them.
        """
        self._database.execute("BEGIN")
        self._database.executemany(INSERT, map(_record, rows))
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
        query = "SELECT count(*) FROM staged WHERE state = coalesce(?, state)"
        return int(self._database.execute(query, [state]).fetchone()[0])

    def first_if_all_faulty(self) -> StagedRow | None:
        """Give the first row if no row can be asked, since each has a fault; else None."""
        if self._database.execute("SELECT 1 FROM staged WHERE fault IS NULL LIMIT 1").fetchone():
            return None
        found = self._database.execute("SELECT row FROM staged ORDER BY position LIMIT 1").fetchone()
        return None if found is None else _row(found[0])

    def to_ask(self) -> Iterator[StagedRow]:
        """Yield the rows that are to be asked, in the order of the input, those with a fault among them."""
        query = "SELECT row, files FROM staged WHERE state = 'ask' ORDER BY position"
        for row, files in self._database.execute(query):
            yield _row(row) if files is None else replace(_row(row), files=pickle.loads(files))  # noqa: S301 (its own)

    def unchanged(self) -> Iterator[list[StagedRow]]:
        """Yield the rows that are not asked, in chunks."""
        yield from self._chunks("state = 'unchanged'")

    def equal_to(self, asked: str) -> Iterator[StagedRow]:
        """Yield the rows that get the answer of another one, without their files."""
        query = "SELECT row FROM staged WHERE asked = ? AND state = 'equal'"
        for (row,) in self._database.execute(query, [asked]):
            yield _row(row)

    def lacks(self, keys: Sequence[str]) -> list[str]:
        """Give those of some keys that no row has."""
        known = self._database.execute(
            "SELECT key FROM staged WHERE key IN (SELECT value FROM json_each(?))", [json.dumps(list(keys))]
        )
        return sorted(set(keys) - {key for (key,) in known})

    def _chunks(self, condition: str) -> Iterator[list[StagedRow]]:
        last = 0
        while True:
            found = self._database.execute(
                f"SELECT row FROM staged WHERE position > ? AND {condition} ORDER BY position LIMIT {CHUNK_ROWS}",  # noqa: S608
                [last],
            ).fetchall()
            if not found:
                return
            rows = [_row(row) for (row,) in found]
            last = rows[-1].position
            yield rows


def _record(row: StagedRow) -> dict[str, Any]:
    # Files beside it, since they can be large.
    files = None if row.files is None else pickle.dumps(row.files)
    return {**vars(row), "row": pickle.dumps(replace(row, files=None)), "files": files}


def _row(pickled: bytes) -> StagedRow:
    row: StagedRow = pickle.loads(pickled)  # noqa: S301 (its own)
    return row
