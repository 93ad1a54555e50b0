"""Rows of a SQL query."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from dagma.batches.errors import RowsError

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
            for row in connection.exec_driver_sql(query).mappings():
                yield dict(row)
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise RowsError(f"The rows' query failed ({type(cause).__name__}): {reason}.") from None
