"""The ledger's connection to its database: pooled, safe across forks, patient with a restarting server.

The types of its columns stand here as well: they mean the same on PostgreSQL and on SQLite.
"""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Numeric,
    Table,
    TextClause,
    bindparam,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.types import TypeDecorator, TypeEngine

from dagma.backoff import Backoff
from dagma.ledger.errors import LedgerError, LedgerNotMigratedError, LedgerSettingsError, LedgerUnavailableError

T = TypeVar("T")

VERSION_TABLE = "ledger_version"
HEAD = "0009"
"""The version of the tables that this code needs, known without importing Alembic."""
MONEY_DIGITS = 18
MONEY_PLACES = 9
"""USD are kept to a billionth: one token of the cheapest model costs about 1e-8 USD."""
MOST_USD = 10 ** (MONEY_DIGITS - MONEY_PLACES)
"""The first amount that does not fit."""
BACKOFF = Backoff(first=0.1, longest=2.0)
URL_FORM = "Write postgresql://user:password@host/database or sqlite:////path.db"
DRIVERS = ("postgresql", "postgresql+psycopg2", "sqlite", "sqlite+pysqlite")
SQLITE_BUSY_SECONDS = 30
POSTGRES_CONNECT_ARGS = {
    "connect_timeout": 5,
    "application_name": "dagma-ledger",
    # A server or a network that vanished without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    # So is one that vanished while a statement was on its way to it, which keepalives don't see. In milliseconds.
    "tcp_user_timeout": 20_000,
}
# Longer than any lock is waited for: a session whose machine vanished keeps its locks for 25 seconds.
STATEMENT_SECONDS = 30
UNBOUNDED = text("SET LOCAL statement_timeout = 0")
NOW = text("SELECT ledger_now()")
# The last is of an SQLite file's folder, or of the locks beside it.
UNAVAILABLE = (DBAPIError, PoolTimeoutError, OSError)
# PostgreSQL's classes and codes of errors that pass by themselves: connection lost, shutting down or starting up,
# too many connections, serialization failure, deadlock.
TRANSIENT_CODES = ("08", "57P", "53300", "40001", "40P01")
# A failed connection has no code; these of its reasons stay until somebody fixes them.
LASTING_REASONS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied")

_databases: "weakref.WeakSet[Database]" = weakref.WeakSet()


def utc_now() -> datetime:
    """Give the time, in UTC."""
    return datetime.now(UTC)


class Database:
    """One ledger database, seen from this process."""

    def __init__(self, url: str, clock: Callable[[], datetime] = utc_now):
        """Remember where the database is; nothing is opened yet.

        Args:
            url: `postgresql://user:password@host/database` or `sqlite:////absolute/path.db`.
            clock: Gives the time of this machine, aware.

        Raises:
            LedgerSettingsError: The URL can't be read, or names an unsupported database.
        """
        self.url = _read_url(url)
        if self.url.drivername not in DRIVERS:
            raise LedgerSettingsError(
                f"The ledger runs on PostgreSQL or SQLite, and its URL begins with {self.url.drivername}. {URL_FORM}."
            )
        if self.is_sqlite and not Path(self.url.database or "").is_absolute():
            raise LedgerSettingsError(
                "The ledger's SQLite URL names no absolute path, and each process would have calls of its own. "
                "Name a file: sqlite:////path.db."
            )
        self.clock = clock
        self._engine: Engine | None = None
        self._checked = False
        self._mutex = threading.RLock()
        _databases.add(self)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is an SQLite file."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def name(self) -> str:
        """Where the database is, without user, password and options: fit for messages."""
        if self.is_sqlite:
            return f"sqlite:///{self.url.database}"
        port = f":{self.url.port}" if self.url.port else ""
        return f"postgresql://{self.url.host or 'localhost'}{port}/{self.url.database}"

    @property
    def engine(self) -> Engine:
        """This process's own pool of connections, made at first use."""
        with self._mutex:
            if self._engine is None:
                self._engine = self._create_engine()
            return self._engine

    def transact(
        self,
        work: Callable[[Connection], T],
        patience_seconds: float = 0.0,
        *,
        may_take_long: bool = False,
    ) -> T:
        """Do work in one transaction, and do it again where the server was away.

        Args:
            work: Takes the connection; may be called more than once, also after a commit whose reply was lost.
            patience_seconds: How long to try again while the server is away or restarting.
            may_take_long: Let a statement take more than 30 seconds.

        Raises:
            LedgerUnavailableError: The server stayed away, or refused a statement.
            LedgerNotMigratedError: The tables are missing or of another version.
        """
        deadline = time.monotonic() + patience_seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                self.check_version()
                with self.engine.begin() as connection:
                    if may_take_long:
                        self.allow_long_statements(connection)
                    return work(connection)
            except UNAVAILABLE as error:
                pause = BACKOFF.seconds(attempt)
                if not self._passes_by_itself(error) or time.monotonic() + pause > deadline:
                    raise self.explain(error) from None
            time.sleep(pause)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads, for as long as it takes."""
        try:
            self.check_version()
            with self.engine.connect().execution_options(dagma_reads_only=True) as connection:
                self.allow_long_statements(connection)
                yield connection
        except UNAVAILABLE as error:
            raise self.explain(error) from None

    def now(self, connection: Connection) -> datetime:
        """Give the time that calls are timed by.

        It is the PostgreSQL server's, whatever the clock of this machine says; for an SQLite file the machine's.
        """
        if self.is_sqlite:
            return self.clock()
        now: datetime = connection.execute(NOW).scalar_one()
        return now.astimezone(UTC)

    def allow_long_statements(self, connection: Connection) -> None:
        """Let the statements of a transaction take more than 30 seconds."""
        if not self.is_sqlite:
            connection.execute(UNBOUNDED)

    def check_version(self) -> None:
        """Make sure, once per process, that the tables are there and of the version that this code knows.

        An SQLite file is brought up to date at once: it has no owner role that would have to do it.

        Raises:
            LedgerNotMigratedError: They are not.
        """
        if self._checked:
            return
        with self._mutex:
            if self.is_sqlite and (self._version() or "") < HEAD:
                from dagma.ledger.migrate import migrate  # Alembic is slow to import, and rarely needed

                Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
                migrate(self.url.render_as_string(hide_password=False))
            version = self._version()
            if version != HEAD:
                raise LedgerNotMigratedError(self._explain_version(version))
            self._checked = True

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        with self._mutex:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def explain(self, error: Exception) -> LedgerError:
        """Turn what the driver or the system raised into an error that quotes no statement, value or password."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        # Only the first line: the lines after it (DETAIL, CONTEXT) can quote a row with its texts.
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        return LedgerUnavailableError(
            f"The ledger's database {self.name} refused or did not answer ({type(cause).__name__}): {reason}. "
            "Check that it runs or can be written, and that DAGMA_LEDGER_URL has the right host, role and password, or "
            "the right file."
        )

    def _create_engine(self) -> Engine:
        if not self.is_sqlite:
            engine = create_engine(
                self.url,
                pool_size=5,
                max_overflow=10,
                # The connection that was used last: its server process still has everything at hand.
                pool_use_lifo=True,
                connect_args=POSTGRES_CONNECT_ARGS,
                hide_parameters=True,
            )
            event.listen(engine, "connect", _bound_statements)
            return engine
        _make_private(Path(self.url.database or ""))
        engine = create_engine(self.url, connect_args={"timeout": SQLITE_BUSY_SECONDS}, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _passes_by_itself(self, error: Exception) -> bool:
        if isinstance(error, PoolTimeoutError):
            return True
        if self.is_sqlite or not isinstance(error, OperationalError | InterfaceError):
            return False
        code = getattr(error.orig, "pgcode", None)
        if code is None:
            return not any(reason in str(error.orig) for reason in LASTING_REASONS)
        return error.connection_invalidated or code.startswith(TRANSIENT_CODES)

    def _version(self) -> str | None:
        if self.is_sqlite and not Path(self.url.database or "").exists():
            return None
        with self.engine.connect().execution_options(dagma_reads_only=True) as connection:
            if not self.engine.dialect.has_table(connection, VERSION_TABLE):
                return None
            version: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 (a constant)
            return version

    def _explain_version(self, version: str | None) -> str:
        if version is None:
            return f"The ledger's database {self.name} has no tables yet. Run `dagma ledger migrate` as their owner."
        return (
            f"The ledger's database {self.name} is at version {version}, and this dagma needs {HEAD}. Run "
            "`dagma ledger migrate` as its owner, or upgrade dagma if the database is newer."
        )

    def _forget_after_fork(self) -> None:
        # The sockets belong to the parent: drop them without a word to the server.
        self._mutex = threading.RLock()
        if self._engine is not None:
            self._engine.dispose(close=False)
            self._engine = None


def insert_once(connection: Connection, table: Table, values: dict[str, Any], on_conflict: str = "DO NOTHING") -> bool:
    """Insert a row unless its key is taken, waiting for whoever inserts that now; tell whether a row was written."""
    return connection.execute(_insert_once(table, tuple(values), on_conflict), values).rowcount > 0


@cache
def _insert_once(table: Table, names: tuple[str, ...], on_conflict: str) -> TextClause:
    # Both databases read this, and SQLAlchemy's own ON CONFLICT is compiled anew each time, which takes a millisecond.
    columns, values = ", ".join(names), ", ".join(f":{name}" for name in names)
    statement = f"INSERT INTO {table.name} ({columns}) VALUES ({values}) ON CONFLICT {on_conflict}"  # noqa: S608 (names of our own)
    return text(statement).bindparams(*(bindparam(name, type_=table.c[name].type) for name in names))


class Money(TypeDecorator[Decimal]):
    """Exact USD: `numeric` on PostgreSQL, an integer of billionths on SQLite, which has no decimals."""

    impl = Numeric(MONEY_DIGITS, MONEY_PLACES)
    cache_ok = True

    def __init__(self, digits: int = MONEY_DIGITS):
        """Set how many digits an amount may have, nine places after the point included."""
        super().__init__(digits, MONEY_PLACES)
        self.digits = digits

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the database at hand."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(Numeric(self.digits, MONEY_PLACES))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Turn USD into what the database stores."""
        if value is None or dialect.name != "sqlite":
            return value
        return int(value.scaleb(MONEY_PLACES).to_integral_value())

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Turn what the database stores into USD."""
        if value is None:
            return None
        return Decimal(value).scaleb(-MONEY_PLACES) if dialect.name == "sqlite" else Decimal(value)


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time: `timestamptz` on PostgreSQL, sortable text without a zone on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times, which could mean any zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("The ledger takes aware times only: give the time a time zone.")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 (the base class's signature)
    ) -> datetime | None:
        """Give every time back as aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def has_misread_password(url: URL) -> bool:
    """Tell whether the end of a password with @ was taken for a part of the host, or of the database's name."""
    return "@" in (url.host or "") or ("@" in (url.database or "") and bool(url.host))


def _read_url(url: str) -> URL:
    # No message quotes any part of it: where it is not read as it was meant, each may be part of the password.
    read: URL | None
    try:
        read = make_url(url)
    except (ArgumentError, ValueError):
        read = None
    if read is None or has_misread_password(read):
        raise LedgerSettingsError(
            f"The ledger's URL can't be read. {URL_FORM}, and percent-encode @ : / in the password, such as %40 for @."
        )
    return read


def _make_private(path: Path) -> None:
    # It holds texts. Only a new file is opened here: to close one that is in use would give up SQLite's locks on it.
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))


def _bound_statements(dbapi_connection: Any, _record: Any) -> None:
    # By a statement, because not every pooler takes it as an option of the connection.
    with dbapi_connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = '{STATEMENT_SECONDS * 1000:.0f}ms'")
    dbapi_connection.commit()


def _prepare_sqlite(dbapi_connection: Any, _record: Any) -> None:
    # The driver would begin transactions by its own rules, without a lock: `_begin_sqlite` does it instead.
    dbapi_connection.isolation_level = None
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        dbapi_connection.execute(f"PRAGMA {pragma}")
    write_ahead(dbapi_connection)


def write_ahead(dbapi_connection: Any) -> None:
    """Have readers see an SQLite file while somebody writes to it.

    On a new file only one connection can switch to that, and SQLite does not let the others wait for it.
    """
    deadline = time.monotonic() + SQLITE_BUSY_SECONDS
    while True:
        try:
            dbapi_connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    reads_only = connection.get_execution_options().get("dagma_reads_only", False)
    # A writer takes the lock at once: two that read first and write then would fail each other.
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _forget_all_after_fork() -> None:
    for database in list(_databases):
        database._forget_after_fork()


os.register_at_fork(after_in_child=_forget_all_after_fork)
