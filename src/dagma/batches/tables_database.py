"""The database of the tables: `DAGMA_TABLES_URL`."""

import functools
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, MetaData, Table, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, NoSuchTableError, SQLAlchemyError

from dagma import environment
from dagma.batches.errors import TableError, reason_of
from dagma.ledger.database import SQLITE_BUSY_SECONDS, write_ahead

VARIABLE = "DAGMA_TABLES_URL"
FORM = "Write postgresql://user:password@host/database or sqlite:////path.db"

logger = logging.getLogger(__name__)


class TablesDatabase:
    """Where the tables are.

    Args:
        url: `postgresql://user:password@host/database` or `sqlite:////path.db`.

    Raises:
        SettingError: The URL can't be used.
    """

    def __init__(self, url: str) -> None:
        self._url = _checked_url(url)
        self._engine: Engine | None = None
        self._process = 0

    @property
    def name(self) -> str:
        """Where it is, without user and password."""
        bare = URL.create(self.dialect, host=self._url.host, port=self._url.port, database=self._url.database)
        return bare.render_as_string()

    @property
    def dialect(self) -> str:
        """`postgresql` or `sqlite`."""
        return self._url.get_backend_name()

    @property
    def engine(self) -> Engine:
        """The connections of this process: one that was forked has its own."""
        if self._engine is None or self._process != os.getpid():
            self._engine, self._process = self._connect(), os.getpid()
        return self._engine

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction.

        Raises:
            TableError: The database can't be reached, or refuses a statement.
        """
        with self._explained(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self, chunk_rows: int) -> Iterator[Connection]:
        """Open a connection whose results are read so many rows at a time.

        Raises:
            TableError: As for `begin`.
        """
        with self._explained(), self.engine.connect().execution_options(yield_per=chunk_rows) as connection:
            yield connection

    def reflected(self, name: str) -> Table | None:
        """Look a table up as it is in the database; None where there is none.

        Raises:
            TableError: The database can't be reached.
        """
        with self._explained(), suppress(NoSuchTableError):
            return Table(name, MetaData(), autoload_with=self.engine)
        return None

    def table_names(self) -> list[str]:
        """List all tables.

        Raises:
            TableError: The database can't be reached.
        """
        with self._explained():
            return sorted(inspect(self.engine).get_table_names())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise TableError(
                f"The tables' database {self.name} refused or did not answer ({type(cause).__name__}): "
                f"{reason_of(cause)}. Check that it runs and that {VARIABLE} has the right host, role and password."
            ) from None

    def _connect(self) -> Engine:
        if self.dialect == "sqlite":
            Path(self._url.database or "").parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(self._url, connect_args={"timeout": SQLITE_BUSY_SECONDS}, hide_parameters=True)
            event.listen(engine, "connect", lambda connection, _: write_ahead(connection))
            return engine
        # Many rows in one message to the server, which is an option of this driver.
        options = {"executemany_mode": "values_plus_batch"} if self._url.get_driver_name() == "psycopg2" else {}
        arguments = {"connect_timeout": 5}
        return create_engine(self._url, pool_pre_ping=True, hide_parameters=True, connect_args=arguments, **options)


def tables_from_environment() -> TablesDatabase:
    """Give the database that `DAGMA_TABLES_URL` names, the same one for as long as it names the same.

    Without it the tables are an SQLite file in `DAGSTER_HOME`; without that, a temporary one.

    Raises:
        SettingError: The URL can't be used.
    """
    return _database(environment.text(VARIABLE) or _default_url())


@functools.lru_cache(maxsize=8)
def _database(url: str) -> TablesDatabase:
    return TablesDatabase(url)


def _default_url() -> str:
    home = os.environ.get("DAGSTER_HOME") or _temporary_home().name
    return f"sqlite:///{Path(home).absolute() / 'tables.db'}"


@functools.cache
def _temporary_home() -> "tempfile.TemporaryDirectory[str]":
    logger.warning(
        "Tables are kept in a temporary file, which ends with this process: set %s or DAGSTER_HOME.", VARIABLE
    )
    return tempfile.TemporaryDirectory(prefix="dagma-tables-")


def _checked_url(url: str) -> URL:
    # No message quotes any part of it, which may be a password.
    try:
        read = make_url(url)
    except (ArgumentError, ValueError):
        raise environment.SettingError(
            f"{VARIABLE} can't be read as a URL. {FORM}, and percent-encode @ : / in the password."
        ) from None
    if read.get_backend_name() not in ("postgresql", "sqlite"):
        raise environment.SettingError(f"{VARIABLE} names a {read.get_backend_name()} database. {FORM}.")
    try:
        read.get_dialect().import_dbapi()
    except (NoSuchModuleError, ImportError):
        raise environment.SettingError(
            f"{VARIABLE} names the driver {read.drivername!r}, which is not installed. {FORM}."
        ) from None
    if read.get_backend_name() == "sqlite" and read.database in (None, "", ":memory:"):
        raise environment.SettingError(f"{VARIABLE} names a database in memory, which ends with its process. {FORM}.")
    return read
