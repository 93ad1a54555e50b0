"""`dagma table`: the tables that flows have answered."""

import argparse
import itertools
import shutil
import sys
import tempfile
from collections.abc import Callable

from dagma.batches.answer_table import AnswerTable, partitions_of, table_names
from dagma.batches.arrow_tables import write_parquet
from dagma.batches.errors import TableError
from dagma.batches.tables_database import tables_from_environment
from dagma.ledger.formats import write_records
from dagma.project import storage_folder
from dagma.wording import counted

Handler = Callable[[argparse.Namespace], int]
SHOWN_ROWS = 20
FORMATS = ("csv", "jsonl", "parquet")


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
    exporting = command("export", export, "write a table to standard output")
    for each in (showing, exporting):
        each.add_argument("name", metavar="NAME", help="the table, which has the name of its asset")
        each.add_argument("--partition", default="", metavar="KEY", help="only this partition; default: all rows")
    showing.add_argument(
        "--rows", type=_whole_number, default=SHOWN_ROWS, metavar="N", help="how many; default: %(default)s"
    )
    showing.add_argument("--failed", action="store_true", help="only rows that have an error instead of an answer")
    exporting.add_argument("--format", choices=FORMATS, default="jsonl", help="default: %(default)s")


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
    """Write all rows of a table to standard output."""
    table = _table(options)
    if options.format == "parquet":
        _export_parquet(table)
    else:
        write_records(table.rows(), table.columns, options.format, sys.stdout)
    return 0


def _export_parquet(table: AnswerTable) -> None:
    if sys.stdout.isatty():
        command = f"docker compose exec -T user-code dagma table export {table.name} --format parquet"
        raise TableError(
            f"Parquet can't be shown on a terminal. Send it to a file: `{command} > {table.name}.parquet`."
        )
    try:
        # The writer asks for its position, which a pipe does not have, and completes its file even after an error.
        with tempfile.NamedTemporaryFile(dir=storage_folder()) as whole:
            write_parquet(table, whole.name)
            shutil.copyfileobj(whole, sys.stdout.buffer)
    except ImportError:
        raise TableError(
            "Parquet needs pyarrow. Add pyarrow to project/requirements.txt, then `make up`; or choose --format csv "
            "or jsonl."
        ) from None


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
