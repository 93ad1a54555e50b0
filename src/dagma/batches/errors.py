"""Why a batch does not begin, or ends before its last row."""

from collections.abc import Mapping


class RowsError(ValueError):
    """The rows, their keys or the declaration of the table can't be used as they are; nothing was sent."""


class TableError(Exception):
    """The tables' database can't be used; the message says why, without its password."""


class BatchStopped(Exception):  # noqa: N818 (it says what happened)
    """A batch has stopped at a limit that was set for it. What was answered until then is kept.

    Args:
        cause: Which limit, and what to do.
        errors: How many rows failed in this batch, by kind.
    """

    def __init__(self, cause: str, errors: Mapping[str, int] | None = None) -> None:
        super().__init__(cause)
        self.errors = dict(errors or {})
