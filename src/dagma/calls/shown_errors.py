"""What Dagster shows of an error that a backend raised: its message can quote answers, and URLs with keys."""

from dagma.calls.call_record import record_texts
from dagma.langflow import LangflowError
from dagma.ledger import TextPolicy

# As with answers: whoever sees the run may see what was said, and nobody a credential.
_SHOWN = TextPolicy("full")


def shown(explained: LangflowError, raised: Exception) -> LangflowError:
    """Keep credentials out of an error, and all texts where none are recorded.

    Args:
        explained: The error that the backend made of an exception of another kind.
        raised: That exception.

    Returns:
        The error, with a cause that may be shown.
    """
    if record_texts():
        cause, excerpt = _SHOWN.of_error(explained.cause), _SHOWN.of_error(explained.excerpt)
    else:
        cause, excerpt = f"The backend raised {type(raised).__name__}.", ""
    explained.cause, explained.excerpt = cause or "", excerpt or ""
    explained.args = (explained.cause,)
    return explained
