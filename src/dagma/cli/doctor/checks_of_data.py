"""Does the ledger take a row, is there space on the disk, and do all clocks show the same time?"""

import os
import shutil
import time

from sqlalchemy import text

from dagma import environment
from dagma.backends.langflow.access_variables import langflow_client
from dagma.cli.doctor.check import Problem, Skipped
from dagma.execution import health
from dagma.langflow import LangflowError
from dagma.ledger import LedgerError
from dagma.ledger.database import Database
from dagma.ledger.ledger_settings import LedgerSettings
from dagma.ledger.probe import write_and_read
from dagma.project import storage_folder

GIB = 1024**3
# PostgreSQL stops when it can't write, and a Docker build alone takes gigabytes.
LEAST_FREE_GIB = 2.0
# An HTTP date is a second wide, and a busy machine answers late.
MOST_SKEW_SECONDS = 5.0


def check_ledger() -> str:
    """Write a row and read it, and take it back."""
    settings = LedgerSettings.from_environment()
    version = write_and_read(settings)
    return f"{Database(settings.url).name} took a row and gave it back (undone); its tables are at version {version}"


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


def check_clock() -> str:
    """Compare this machine's clock with the database's and Langflow's."""
    skews = {name: skew for name, skew in (("PostgreSQL", _database_skew()), ("Langflow", _langflow_skew())) if skew}
    wrong = {name: skew for name, skew in skews.items() if abs(skew) > MOST_SKEW_SECONDS}
    if wrong:
        told = ", ".join(f"{name}'s clock is {skew:+.0f} s off this one" for name, skew in wrong.items())
        raise Problem(f"{told}. Set all machines by NTP (`timedatectl set-ntp true`): quotas and retention go by them.")
    if not skews:
        raise Skipped("There is no other clock that answers.")
    return "; ".join(f"{name}'s differs by {abs(skew):.1f} s" for name, skew in skews.items())


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


def _database_skew() -> float | None:
    try:
        database = Database(LedgerSettings.from_environment().url)
        if database.is_sqlite:
            return None
        with database.read() as connection:
            sent = time.time()
            now = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
            received = time.time()
        database.close()
    except LedgerError:
        return None
    return float(now or 0) - (sent + received) / 2


def _langflow_skew() -> float | None:
    try:
        with langflow_client(10.0) as client:
            sent = time.time()
            now = client.server_time()
            received = time.time()
    except (LangflowError, environment.SettingError):
        return None
    # The header leaves out the part of the second.
    return None if now is None else now.timestamp() + 0.5 - (sent + received) / 2
