"""Can every setting be read, does the ledger answer, and is there space on the disk?"""

import shutil

from sqlalchemy import select, text

from dagma import environment
from dagma.cli.doctor.check import Problem, Skipped
from dagma.ledger.database import HEAD, Database
from dagma.ledger.ledger_settings import LedgerSettings
from dagma.ledger.tables import calls
from dagma.project import storage_folder

GIB = 1024**3
# PostgreSQL stops when it can't write, and a Docker build alone takes gigabytes.
LEAST_FREE_GIB = 2.0
# Else it would wait for as long as somebody locks the table.
SOON = text("SET LOCAL statement_timeout = '10s'")


def check_settings() -> str:
    """Read all settings, and tell every one that can't be used."""
    # Here, because it imports Dagster, for which no other command should wait.
    from dagma.validation.setting_checks import setting_problems

    if problems := setting_problems():
        raise Problem(" ".join(problems))
    quotas, prices = environment.text("DAGMA_QUOTAS", "none"), environment.text("DAGMA_PRICES", "none of our own")
    return f"all can be read; quotas: {quotas}; prices: {prices}"


def check_ledger() -> str:
    """Ask the ledger for a row."""
    database = Database(LedgerSettings.from_environment().url)
    with database.read() as connection:
        if not database.is_sqlite:
            connection.execute(SOON)
        connection.execute(select(calls.c.id).limit(1)).first()
    database.close()
    return f"{database.name} answers; its tables are at version {HEAD}"


def check_disk() -> str:
    """Look how much space is left where runs write."""
    folder = storage_folder()
    if folder is None or not folder.exists():
        raise Skipped("Neither DAGMA_STORAGE_DIR nor DAGSTER_HOME names a folder of this machine.")
    usage = shutil.disk_usage(folder)
    found = f"{usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB are free at {folder}"
    if usage.free < LEAST_FREE_GIB * GIB:
        raise Problem(
            f"Only {found}. Free some, or give Docker a larger disk: `docker system df` shows what takes it, and "
            "docs/operations.md what grows."
        )
    return found
