"""`dagma table`: the tables that flows have answered."""

import argparse
import itertools
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from dagma.batches.answer_table import AnswerTable, partitions_of, table_names
from dagma.batches.arrow_tables import write_parquet
from dagma.batches.errors import TableError
from dagma.batches.tables_database import tables_from_environment
from dagma.ledger.formats import replacing, write_records
from dagma.project import storage_folder
from dagma.wording import counted

Handler = Callable[[argparse.Namespace], int]
SHOWN_ROWS = 20
FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `table` and its commands."""
    parser = subparsers.add_parser("table", help="show and export tables that flows have answered", description=__doc__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, handler: Handler, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=handler.__doc__)
        added.set_defaults(handler=handler)
        return added

    command("list", list_tables, "list the tables")
    showing = command("show", show, "print the first rows of a table")
    exporting = command("export", export, "write a table to a file")
    for each in (showing, exporting):
        each.add_argument("name", metavar="NAME", help="the table, which has the name of its asset")
        each.add_argument("--partition", default="", metavar="KEY", help="only this partition; default: all rows")
    showing.add_argument(
        "--rows", type=_whole_number, default=SHOWN_ROWS, metavar="N", help="how many; default: %(default)s"
    )
    showing.add_argument("--failed", action="store_true", help="only rows that have an error instead of an answer")
    exporting.add_argument(
        "file", metavar="FILE", help="where to: .csv, .jsonl or .parquet; - writes to standard output"
    )
    exporting.add_argument("--format", choices=sorted(FORMATS.values()), help="the format; default: as the file's name")


def list_tables(_options: argparse.Namespace) -> int:
    """Print the name of each table, how many rows it has, and how many of them have failed."""
    database = tables_from_environment()
    names = table_names(database)
    if not names:
        print(f"There is no table in {database.name} yet.", file=sys.stderr)
    for name in names:
        table = AnswerTable(database, name)
        print(f"{name:<40} {counted(table.count(), 'rows'):>15}  {sum(table.failures().values()):>8,} failed")
    return 0


def show(options: argparse.Namespace) -> int:
    """Print the first rows of a table."""
    table = _table(options)
    rows = table.rows(failed=options.failed)
    write_records(itertools.islice(rows, options.rows), table.columns, "table", sys.stdout)
    count = sum(table.failures().values()) if options.failed else table.count()
    if count > options.rows:
        print(f"... {counted(count - options.rows, 'more rows')}; --rows {count} prints all")
    return 0


def export(options: argparse.Namespace) -> int:
    """Write all rows of a table to a file."""
    table = _table(options)
    form = options.format or FORMATS.get(Path(options.file).suffix.lower())
    if form is None:
        raise TableError(f"{options.file!r} tells no format. Name it .csv, .jsonl or .parquet, or give --format.")
    instead = _instead(options, form)
    if form == "parquet":
        count = _export_parquet(table, options.file, instead)
    elif options.file == "-":
        count = write_records(table.rows(), table.columns, form, sys.stdout)
    else:
        with replacing(Path(options.file), instead) as out:
            count = write_records(table.rows(), table.columns, form, out)
    print(f"{counted(count, 'rows')} of {table.name} written to {options.file}", file=sys.stderr)
    return 0


def _instead(options: argparse.Namespace, form: str) -> str:
    """Tell what to do where the file can't be written."""
    words = ["dagma", "table", "export", options.name, "-", "--format", form]
    if options.partition:
        words += ["--partition", options.partition]
    return (
        "Name a file that you may write. Inside the stack, whose containers are read-only: "
        f"`docker compose exec -T user-code {shlex.join(words)} > {shlex.quote(options.file)}`."
    )


def _export_parquet(table: AnswerTable, file: str, instead: str) -> int:
    if file == "-" and sys.stdout.isatty():
        raise TableError("Parquet can't be shown on a terminal. Send it to a file: `> table.parquet`.")
    try:
        if file != "-":
            return _write_parquet_file(table, file, instead)
        # Parquet's writer asks where it is in the file, which a pipe can't tell.
        with tempfile.NamedTemporaryFile(dir=storage_folder()) as whole:
            count = write_parquet(table, whole.name)
            shutil.copyfileobj(whole, sys.stdout.buffer)
        return count
    except ImportError:
        raise TableError(
            "Parquet needs pyarrow. Add pyarrow to project/requirements.txt, then `make up`; or export .csv or .jsonl."
        ) from None


def _write_parquet_file(table: AnswerTable, file: str, instead: str) -> int:
    try:
        return write_parquet(table, file)
    except OSError as error:
        # Of pyarrow's text, which names the file once more, only the cause.
        cause = os.strerror(error.errno) if error.errno else error
        raise TableError(f"{file} can't be written: {cause}. {instead}") from None


def _whole_number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _table(options: argparse.Namespace) -> AnswerTable:
    database = tables_from_environment()
    names = table_names(database)
    if options.name not in names:
        known = f" It has {', '.join(names[:20])}." if names else " It has none."
        raise TableError(f"There is no table {options.name!r} in {database.name}.{known}")
    partitions = partitions_of(database, options.name)
    if options.partition and options.partition not in partitions:
        known = f" It has {', '.join(filter(None, partitions[:20]))}." if any(partitions) else " It has none."
        raise TableError(f"The table {options.name!r} has no partition {options.partition!r}.{known}")
    return AnswerTable(database, options.name, options.partition)
