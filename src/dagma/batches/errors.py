"""Why a batch does not begin, or ends before its last row."""

from dagma.langflow import LangflowError


class RowsError(ValueError):
    """The rows, their keys or the declaration of the table can't be used as they are; nothing was sent."""


class TableError(Exception):
    """The tables' database can't be used; the message says why, without its password."""


class FlowChanged(LangflowError):  # noqa: N818 (as the errors that it stands beside)
    """The flow was edited while its rows were asked: what the table would say of them is not true any more."""

    default_fix = "Materialize the table again: it asks the rows that the new version of the flow has not answered."
    default_retryable = True
    default_outcome = "not_run"


def reason_of(error: Exception) -> str:
    """Give the first line of what a library says, without its period: the lines after it can quote a row."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


class BatchStopped(Exception):  # noqa: N818 (it says what happened)
    """A batch has stopped at a limit that was set for it. What was answered until then is kept."""
