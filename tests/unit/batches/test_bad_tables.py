"""Tables that can't be used: each is refused by name before the first call, or read all the same."""

import gzip
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dagma.batches.batch_settings import BatchSettings
from dagma.batches.errors import RowsError
from dagma.batches.row_sources import read_rows
from dagma.batches.row_staging import Staging
from dagma.batches.staged_rows import StagedRow, StagedRows

ID, TEXT = "id", "text"


def staged(rows: Any, **options: Any) -> list[StagedRow]:
    """Stage rows as a batch does, and give them as they would be asked."""
    settings = BatchSettings(key=ID, input="{{ row.text }}", keep=(TEXT,), **options)
    with closing(StagedRows()) as kept:
        kept.add(Staging(settings, "flow", "v1").rows(read_rows(rows)))
        kept.mark(list)
        return list(kept.to_ask())


def file(name: str, content: str | bytes, **options: str) -> Callable[[Path], dict[str, str]]:
    def write(folder: Path) -> dict[str, str]:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return {path.suffix[1:]: str(path), **options}

    return write


def row(key: Any = 1, text: Any = "a") -> dict[str, Any]:
    return {ID: key, TEXT: text}


def broken_generator() -> Iterator[dict[str, Any]]:
    yield row()
    raise RowsError("The upstream went away.")


def database(query: str) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        with sqlite3.connect(folder / "shop.db") as shop:
            shop.execute("CREATE TABLE reviews (id, text)")
        return {"sql": query, "url": f"sqlite:///{folder}/shop.db"}

    return make


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


REFUSED: dict[str, tuple[Any, str]] = {
    "no key column": ([{"text": "a"}], r"Row 1 has no column 'id', which is the key. It has: 'text'"),
    "no kept column": ([{"id": 1}], r"Row 1 has no column 'text', which is kept"),
    "a column that is nested too deeply": (
        [row(), row(2, nested(2_000))],
        "Row 2 holds a list or object that is nested",
    ),
    "empty key": ([row(""), row(None), row(3)], r"Rows without a key in the column 'id': row 1 \(empty\), row 2"),
    "blank key": ([row("  ")], "row 1 .empty."),
    "key that is not a number": ([row(float("nan"))], "row 1 .empty."),
    "key that is a list": ([row([1])], "row 1 .a list."),
    "key that is bytes": ([row(b"a")], "row 1 .a bytes."),
    "key of a novel": ([row("k" * 501)], "row 1 .longer than 500 characters."),
    "key twice": ([row(1), row(2), row(1)], r"'1' \(2 rows, the first is row 1\). Nothing was sent"),
    "key twice, as number and text": ([row(1), row("1")], "'1' .2 rows"),
    "key twice, as decimal": ([row(1), row(Decimal("1.00"))], "'1' .2 rows"),
    "keys that are the same once stored": ([row("\ud800"), row("\udbff")], r"'\?' \(2 rows"),
    "many keys missing": ([row(None) for _ in range(30)], r"row 10 \(empty\)\. Nothing was sent"),
    "rows that are texts": (["a", "b"], "Row 1 is a str"),
    "one row that is None": ([row(), None], "Row 2 is a NoneType"),
    "an unknown declaration": ({"excel": "a.xlsx"}, "an object of excel"),
    "a query without its database": ({"sql": "select 1"}, "an object of sql"),
    "a path": ("reviews.csv", "can't be read from a str"),
    "a generator that breaks": (broken_generator(), "The upstream went away"),
    "a file that is not there": ({"csv": "gone.csv"}, "gone.csv can't be read .FileNotFoundError.*No such file"),
    "a folder": ({"csv": "/"}, "/ can't be read .IsADirectoryError."),
    "CSV without a header": (file("a.csv", ""), "has no header"),
    "CSV with a short line": (file("a.csv", "id,text\n1,a\n2\n"), "a.csv, line 3: 1 cells, and the header has 2"),
    "CSV with a long line": (file("a.csv", "id,text\n1,a,b\n"), "line 2: 3 cells"),
    "CSV with a column twice": (file("a.csv", "id,id\n1,2\n"), "two columns of one name"),
    "CSV with a nameless column": (file("a.csv", "id,\n1,2\n"), "has no header"),
    "CSV with an open quote": (
        file("a.csv", 'id,text\n1,"a\n'),
        r"a.csv, line 2: unexpected end of data\. Check its quotes",
    ),
    "CSV in Latin-1": (
        file("a.csv", "id,text\n1,Äpfel\n".encode("latin-1")),
        "can't be read .UnicodeDecodeError.*its encoding: UTF-8 unless",
    ),
    "CSV that is compressed": (file("a.csv", gzip.compress(b"id,text")), "UnicodeDecodeError"),
    "CSV in an encoding of bytes": (file("a.csv", "id", encoding="base64"), "'base64' is not a text encoding"),
    "CSV with a quote in the middle": (file("a.csv", 'id,text\n1,"a"b\n'), "line 2: ',' expected after"),
    "CSV with a long delimiter": (file("a.csv", "id", delimiter="||"), '"delimiter" must be a 1-character string'),
    "JSON in UTF-16": (file("a.jsonl", '{"id": 1}'.encode("utf-16")), "UnicodeDecodeError.*in UTF-8"),
    "JSON of a number with too many digits": (file("a.jsonl", '{"id": ' + "9" * 5_000 + "}"), "line 1, can't be read"),
    "JSON that is broken": (
        file("a.jsonl", '{"id": 1, "text": "a"}\n{"id":\n'),
        "a.jsonl, line 2, can't be read .JSONDecodeError",
    ),
    "JSON that is a list": (file("a.jsonl", "[1, 2]\n"), "line 1, can't be read .TypeError.: it is a list"),
    "JSON that is an empty list": (file("a.jsonl", '{"id": 1, "text": "a"}\n[]\n'), "line 2, can't be read"),
    "JSON that is a list of pairs": (file("a.jsonl", '[["id", 2], ["text", "a"]]\n'), "line 1, can't be read"),
    "JSON that is too deep": (file("a.jsonl", "[" * 100_000), "line 1, can't be read"),
    "a database that is not there": ({"sql": "select 1", "url": "sqlite:////nowhere/at/all.db"}, "query can't be read"),
    "a database of no kind": ({"sql": "select 1", "url": "no url"}, "URL of the rows' database can't be read"),
    "a database whose password is not encoded": (
        {"sql": "select 1", "url": "postgresql://reader:my@secret@db/shop"},
        "^The URL of the rows' database can't be read, or its driver is not installed. Write postgresql://user:pass",
    ),
    "a database on an unknown host": (
        {"sql": "select 1", "url": "postgresql://reader:secret@db..example.com/shop"},
        r"host name .*DAGMA_OUTBOUND in \.env",
    ),
    "a query with a column twice": (
        database("select 1 as id, 2 as id, 'a' as text"),
        "query has two columns of one name",
    ),
    "a query that is no query": (database("create table more (id)"), "does not return rows"),
    "a query of a text that is none": (
        database("select 1 as id, cast(x'ff' as text) as text"),
        "Could not decode to UTF-8",
    ),
    "a query that is wrong": (database("select * from missing"), "no such table: missing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_cant_be_used_is_refused_with_its_cause(name: str, tmp_path: Path) -> None:
    rows, told = REFUSED[name]
    with pytest.raises(RowsError, match=told):
        staged(rows(tmp_path) if callable(rows) else rows)


READ: dict[str, tuple[Any, list[str]]] = {
    "nothing": ([], []),
    "CSV of a header alone": (file("a.csv", "id,text\n"), []),
    "CSV with a byte order mark": (file("a.csv", "\ufeffid,text\n1,a\n"), ["a"]),
    "CSV with line breaks in cells": (file("a.csv", 'id,text\r\n1,"a\nb"\r\n\r\n2,c\r\n'), ["a\nb", "c"]),
    "CSV in Latin-1, and said so": (
        file("a.csv", "id;text\n1;Ä\n".encode("latin-1"), encoding="latin-1", delimiter=";"),
        ["Ä"],
    ),
    "JSON lines with an empty one": (file("a.jsonl", '{"id": 1, "text": "a"}\n\n{"id": 2, "text": "b"}'), ["a", "b"]),
    "a cell of 10 MB": (file("a.csv", f"id,text\n1,{'x' * 10_000_000}\n"), ["x" * 10_000_000]),
    "5,000 columns": ([{f"c{number}": number for number in range(5000)} | row()], ["a"]),
    "NUL in a text": ([row(1, "a\x00b")], ["a\ufffdb"]),
    "NUL in a CSV": (file("a.csv", "id,text\n1,a\x00b\n"), ["a\ufffdb"]),
    "CSV with quotes in cells": (file("a.csv", 'id,text\n1,"say ""hi"", then go"\n'), ['say "hi", then go']),
    "CSV with line ends of an old Mac": (file("a.csv", "id,text\r1,a\r2,b\r"), ["a", "b"]),
    "JSON with half a surrogate pair": (file("a.jsonl", '{"id": 1, "text": "a\\ud800"}'), ["a?"]),
    "JSON with NaN and Infinity": (file("a.jsonl", '{"id": 1, "text": NaN}\n{"id": 2, "text": Infinity}'), ["", "inf"]),
    "half a surrogate pair": ([row(1, "\ud800")], ["?"]),
    "mixed types": ([row(1, 1), row("b", 2.5), row(3, None), row(4, True)], ["1", "2.5", "", "True"]),
    "not a number": ([row(1, float("nan"))], [""]),
    "times and decimals": (
        [row(date(2026, 1, 31), Decimal("1.10")), row(datetime(2026, 1, 31), date(2026, 2, 1))],  # noqa: DTZ001
        ["1.10", "2026-02-01"],
    ),
    "names that differ in case": ([row() | {"ID": 2, "Text": "b"}], ["a"]),
    "keys that differ in case": ([row("a"), row("A", "b")], ["a", "b"]),
    "columns named as methods": ([row() | {"items": 1, "keys": 2, "_id": 3}], ["a"]),
    "column names that are no text": ([{1: 2, **row()}], ["a"]),
    "a query with % and :": (database("select 1 as id, '50% of 12:30' as text"), ["50% of 12:30"]),
}


@pytest.mark.parametrize("name", READ)
def test_an_odd_table_is_read_all_the_same(name: str, tmp_path: Path) -> None:
    rows, texts = READ[name]
    asked = staged(rows(tmp_path) if callable(rows) else rows)
    assert [each.input for each in asked] == texts


def test_rows_whose_source_breaks_off_tell_after_which_row_and_keep_its_own_error() -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield row()
        raise ConnectionResetError("The shop hung up.")

    with pytest.raises(ConnectionResetError, match="hung up") as raised:
        staged(rows())
    assert raised.value.__notes__ == ["The rows broke off after row 1. Nothing was sent."]


def test_a_file_that_vanishes_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    declared = file("a.csv", "id,text\n" + "1,a\n" * 100_000)(tmp_path)
    rows = read_rows(declared)
    next(rows)
    Path(declared["csv"]).unlink()
    assert sum(1 for _ in rows) == 99_999
