"""`dagma table`: the tables that flows have answered."""

import argparse
import itertools
import shutil
import sys
import tempfile

from dagma.batches.answer_table import AnswerTable, table_names
from dagma.batches.arrow_tables import write_parquet
from dagma.batches.errors import TableError
from dagma.batches.tables_database import tables_from_environment
from dagma.ledger.formats import write_records
from dagma.project import storage_folder
from dagma.wording import counted

SHOWN_ROWS = 20
FORMATS = ("csv", "jsonl", "parquet")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `table` and its commands."""
    parser = subparsers.add_parser(
        "table",
        help="show and export tables that flows have answered",
        description="Show and export tables that flows have answered.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    showing = commands.add_parser("show", help="print the first rows of a table", description=show.__doc__)
    showing.add_argument("--failed", action="store_true", help="only rows that have an error instead of an answer")
    showing.set_defaults(handler=show)
    exporting = commands.add_parser("export", help="write a table to standard output", description=export.__doc__)
    exporting.add_argument("--format", choices=FORMATS, default="jsonl", help="default: %(default)s")
    exporting.set_defaults(handler=export)
    for each in (showing, exporting):
        each.add_argument("name", metavar="NAME", help="the table, which has the name of its asset")


def show(options: argparse.Namespace) -> int:
    """Print the first rows of a table."""
    table = _table(options.name)
    rows = itertools.islice(table.rows(failed=options.failed), SHOWN_ROWS)
    write_records(rows, table.columns, "table", sys.stdout)
    count = sum(table.failures().values()) if options.failed else table.count()
    if count > SHOWN_ROWS:
        print(f"... {counted(count - SHOWN_ROWS, 'more rows')}; `dagma table export` prints all")
    return 0


def export(options: argparse.Namespace) -> int:
    """Write all rows of a table to standard output."""
    table = _table(options.name)
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


def _table(name: str) -> AnswerTable:
    database = tables_from_environment()
    names = table_names(database)
    if name not in names:
        known = f"It has {', '.join(names[:20])}." if names else "It has none."
        raise TableError(f"There is no table {name!r} in {database.name}. {known}")
    return AnswerTable(database, name)
