"""The database of the tables: `DAGMA_TABLES_URL`."""

import functools
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, Connection, MetaData, NullPool, Table, create_engine, event, inspect
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, NoSuchTableError, SQLAlchemyError

from dagma import environment
from dagma.batches.errors import TableError, reason_of
from dagma.ledger.database import SQLITE_BUSY_SECONDS, has_misread_password, write_ahead

VARIABLE = "DAGMA_TABLES_URL"
FORM = "Write postgresql://user:password@host/database or sqlite:////path.db"

logger = logging.getLogger(__name__)


class TablesDatabase:
    """Where the tables are: `postgresql://user:password@host/database` or `sqlite:////path.db`.

    Raises:
        SettingError: The URL can't be used.
        TableError: By each method: the database can't be reached, or refuses a statement.
    """

    def __init__(self, url: str) -> None:
        is_file = url.startswith("sqlite")
        options = {"timeout": SQLITE_BUSY_SECONDS} if is_file else {"connect_timeout": 5}
        try:
            # Without a pool: a batch writes twice a second, and a process that was forked shares no connection.
            self.engine = create_engine(url, poolclass=NullPool, connect_args=options, hide_parameters=True)
            if has_misread_password(self.engine.url):
                raise ValueError
        except (ArgumentError, ValueError, NoSuchModuleError, ImportError):  # which can quote a part of the password
            raise environment.SettingError(
                f"{VARIABLE} can't be read as a URL, or names a driver that is not installed. {FORM}, and "
                "percent-encode @ : / in the password."
            ) from None
        if self.dialect not in ("postgresql", "sqlite"):
            raise environment.SettingError(f"{VARIABLE} names a {self.dialect} database. {FORM}.")
        if is_file and not Path(self.engine.url.database or "").is_absolute():
            raise environment.SettingError(
                f"{VARIABLE} names no absolute path, and each process would have tables of its own. {FORM}."
            )
        if is_file:
            event.listen(self.engine, "connect", lambda connection, _: write_ahead(connection))

    @property
    def name(self) -> str:
        """Where it is, without user and password."""
        url = self.engine.url
        return URL.create(self.dialect, host=url.host, port=url.port, database=url.database).render_as_string()

    @property
    def dialect(self) -> str:
        """`postgresql` or `sqlite`."""
        return self.engine.dialect.name

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction."""
        with self._explained(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self, chunk_rows: int) -> Iterator[Connection]:
        """Open a connection whose results are read so many rows at a time."""
        with self._explained(), self.engine.connect().execution_options(yield_per=chunk_rows) as connection:
            yield connection

    def reflected(self, name: str) -> Table | None:
        """Look a table up as it is in the database; None where there is none."""
        with self._explained(), suppress(NoSuchTableError):
            return Table(name, MetaData(), autoload_with=self.engine)
        return None

    def table_names(self) -> list[str]:
        """List all tables."""
        with self._explained():
            return sorted(inspect(self.engine).get_table_names())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise TableError(
                f"The tables' database {self.name} refused or did not answer: {reason_of(error)}. Check that it runs "
                f"and that {VARIABLE} has the right host, role and password."
            ) from None


def tables_from_environment() -> TablesDatabase:
    """Give the database that `DAGMA_TABLES_URL` names.

    Without it the tables are an SQLite file in `DAGSTER_HOME`; without that, a temporary one.

    Raises:
        SettingError: The URL can't be used.
    """
    if url := environment.text(VARIABLE):
        return TablesDatabase(url)
    home = os.environ.get("DAGSTER_HOME") or _temporary_home().name
    return TablesDatabase(f"sqlite:///{Path(home).absolute() / 'tables.db'}")


@functools.cache
def _temporary_home() -> "tempfile.TemporaryDirectory[str]":
    logger.warning(
        "Tables are kept in a temporary file, which ends with this process: set %s or DAGSTER_HOME.", VARIABLE
    )
    return tempfile.TemporaryDirectory(prefix="dagma-tables-")
