"""Does the ledger answer, and is there space on the disk?"""

import os
import shutil

from sqlalchemy import select, text

from dagma.cli.doctor.check import Problem, Skipped
from dagma.execution import health
from dagma.ledger.database import HEAD, Database
from dagma.ledger.ledger_settings import LedgerSettings
from dagma.ledger.tables import calls
from dagma.project import storage_folder

GIB = 1024**3
# PostgreSQL stops when it can't write, and a Docker build alone takes gigabytes.
LEAST_FREE_GIB = 2.0


def check_ledger() -> str:
    """Ask the ledger for a row."""
    database = Database(LedgerSettings.from_environment().url)
    with database.read() as connection:
        connection.execute(select(calls.c.id).limit(1)).first()
    database.close()
    return f"{database.name} answers; its tables are at version {HEAD}"


def check_disk() -> str:
    """Look how much space is left where runs write, and how large the databases are."""
    folder = storage_folder()
    if folder is None or not folder.exists():
        raise Skipped("Neither DAGMA_STORAGE_DIR nor DAGSTER_HOME names a folder of this machine.")
    usage = shutil.disk_usage(folder)
    found = f"{usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB are free at {folder}{_database_sizes()}"
    if usage.free < LEAST_FREE_GIB * GIB:
        raise Problem(
            f"Only {found}. Free some, or give Docker a larger disk: `docker system df` shows what takes it, and "
            "docs/operations.md what grows."
        )
    return found


def _database_sizes() -> str:
    sizes = []
    try:
        database = Database(LedgerSettings.from_environment().url)
        if not database.is_sqlite:
            with database.read() as connection:
                size = connection.scalar(text("SELECT pg_database_size(current_database())"))
            sizes.append(f"{database.url.database} {int(size or 0) / 1024**2:.0f} MiB")
            database.close()
        if os.environ.get("DAGSTER_PG_HOST"):
            ((name, size),) = health.query_database("SELECT current_database(), pg_database_size(current_database())")
            sizes.append(f"{name} {int(size) / 1024**2:.0f} MiB")
    except Exception:  # noqa: BLE001 (the databases have a check of their own)
        return ""
    return f"; databases: {', '.join(sizes)}" if sizes else ""
