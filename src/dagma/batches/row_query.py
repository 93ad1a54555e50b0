"""Rows of a SQL query."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from dagma.batches.errors import RowsError
from dagma.batches.row_files import check_names_differ

CHUNK_ROWS = 1_000


def read_query(query: str, url: str) -> Iterator[Mapping[str, Any]]:
    """Read the rows of a query, a thousand at a time where the database can do that.

    Args:
        query: The query, sent as it stands.
        url: The database as SQLAlchemy names it, such as `postgresql://user:password@host/database`.

    Raises:
        RowsError: The database can't be reached, or refuses the query.
    """
    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError):
        raise RowsError(
            "The URL of the rows' database can't be read, or its driver is not installed. Write "
            "postgresql://user:password@host/database, and percent-encode @ : / in the password."
        ) from None
    try:
        with engine.connect().execution_options(yield_per=CHUNK_ROWS, no_parameters=True) as connection:
            found = connection.exec_driver_sql(query)
            names = list(found.keys())
            check_names_differ(names, "The rows' query")
            for row in found:
                # Bytes that a driver only points to would have another text each time.
                values = (bytes(value) if isinstance(value, memoryview) else value for value in row)
                yield dict(zip(names, values, strict=True))
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise RowsError(f"The rows' query failed ({type(cause).__name__}): {reason}.") from None
