"""TLS's own words decide whether a refusal came before the flow."""

import ssl

import pytest
from urllib3.exceptions import ProtocolError, SSLError

from dagma.langflow import LangflowError, TLSFailure, Unreachable
from dagma.langflow.http.network_errors import network_error
from dagma.langflow.http.watched_http import Deadline, Watch
from dagma.langflow.redaction import NOTHING_SECRET


def typed(error: Exception, *, sent: bool, request: str = "POST /run") -> LangflowError:
    watch = Watch(Deadline.after(60.0), sent)
    return network_error(error, watch, request, "https://user.example", NOTHING_SECRET)


def wrapped(error: Exception) -> Exception:
    return SSLError(error) if isinstance(error, ssl.SSLError) else ProtocolError("Connection aborted.", error)


@pytest.mark.parametrize(
    ("error", "sent", "expected", "outcome"),
    [
        (ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert"), True, TLSFailure, "unknown"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), True, Unreachable, "unknown"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), False, Unreachable, "not_run"),
        (ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed (EOF)"), True, Unreachable, "unknown"),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), False, TLSFailure, "not_run"),
        (ConnectionResetError(104, "Connection reset by peer"), True, Unreachable, "unknown"),
        (ConnectionResetError(104, "Connection reset by peer"), False, Unreachable, "not_run"),
    ],
    ids=[
        "alert",
        "end after sending",
        "end before sending",
        "close",
        "certificate",
        "reset after sending",
        "reset before sending",
    ],
)
def test_what_is_known_about_the_run_follows_from_what_was_sent(
    error: Exception, sent: bool, expected: type[LangflowError], outcome: str
):
    found = typed(wrapped(error), sent=sent)
    assert (type(found), found.outcome) == (expected, outcome)


@pytest.mark.parametrize(("request_", "fix"), [("POST /run", "shorten the flow"), ("GET /health_check", "overloaded")])
def test_only_what_can_run_a_flow_is_told_to_shorten_it(request_: str, fix: str):
    assert fix in str(typed(TimeoutError("timed out"), sent=True, request=request_))
