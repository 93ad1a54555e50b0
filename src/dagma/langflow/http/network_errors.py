"""The typed errors of what urllib3 raises. They quote neither headers nor URLs."""

import http.client
import ssl
from collections.abc import Iterable, Iterator, Sequence

import urllib3

from dagma.langflow.errors import CallTimeout, LangflowError, MalformedResponse, Outcome, TLSFailure, Unreachable
from dagma.langflow.http.watched_http import Watch
from dagma.langflow.redaction import Redactor

_LONGEST_REASON = 200
_SILENCE = (TimeoutError, urllib3.exceptions.TimeoutError)
# To urllib3 a refused connection is a kind of time-out.
_REFUSED = (urllib3.exceptions.NewConnectionError,)
_TLS = (ssl.SSLError, urllib3.exceptions.SSLError)
# The connection ended without a word about certificates: so does a balancer end it whose server is away.
_TLS_CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
_BROKEN_OFF = (ConnectionError, http.client.IncompleteRead)
# http.client raises the bare HTTPException for too many headers.
_NO_HTTP = (http.client.HTTPException, urllib3.exceptions.InvalidHeader)


def network_error(error: Exception, watch: Watch, request: str, address: str, redactor: Redactor) -> LangflowError:
    """Return the typed error of a request, said in words, that has no complete response. urllib3 raised `error`."""
    causes = list(_causes(error))
    if watch.deadline.passed() or (_any(causes, _SILENCE) and not _any(causes, _REFUSED)):
        return _timed_out(request, watch)
    reason = redactor.excerpt(_innermost(causes))[:_LONGEST_REASON]
    outcome: Outcome = "unknown" if watch.sent else "not_run"
    if _any(causes, _TLS) and not _any(causes, _TLS_CUT_OFF):
        return TLSFailure(f"TLS with {address} failed: {reason}.", outcome=outcome)
    if _any(causes, _NO_HTTP) and not _any(causes, _BROKEN_OFF):
        return MalformedResponse(f"The answer of {address} to {request} is not HTTP: {reason}.", outcome=outcome)
    what = "The connection broke off during" if watch.sent else "No connection for"
    return Unreachable(f"{what} {request} to {address}: {reason}.", outcome=outcome)


def _timed_out(request: str, watch: Watch) -> CallTimeout:
    """Return the error of a request whose deadline passed, or whose server was silent for too long."""
    if watch.deadline.passed():
        cause = f"The deadline of {watch.deadline.seconds:g} s passed during {request}."
    else:
        cause = f"The server was silent for too long during {request}."
    # Flows run by POST alone: the usual fix is about them.
    fix = None if request.startswith("POST ") else "Langflow is starting, overloaded or stuck: `make logs s=langflow`."
    return CallTimeout(cause, fix=fix, outcome="unknown" if watch.sent else "not_run")


def _any(causes: Iterable[BaseException], types: tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(cause, types) for cause in causes)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it wraps, as argument or as cause."""
    yield error
    for each in (*error.args, error.__cause__):
        if isinstance(each, BaseException):
            yield from _causes(each)


def _innermost(causes: Sequence[BaseException]) -> str:
    """Return the message of the operating system, of TLS or of a proxy that gives no tunnel, which names no URL."""
    for cause in reversed(causes):
        if type(cause) is OSError and len(cause.args) == 1:
            return str(cause)
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return type(causes[-1]).__name__
