"""The session of a call whose caller names none."""

from dataclasses import replace

from dagma.calls.request import CallRequest

OWN_SESSION = "call-"
"""How the names of such sessions begin."""


def own_session(key: str) -> str:
    """Name the session of a call.

    Args:
        key: The call's key.
    """
    return f"{OWN_SESSION}{key[:32]}"


def in_its_own_session(request: CallRequest, key: str) -> CallRequest:
    """Keep a call apart from all others, unless its caller names a session.

    Langflow would use one session for all calls of a flow: memory would tell one call what another has said, and the
    author would find them all in a session of their own. A retry has the session of the call that it retries, so that
    what became of that can be found there.

    Args:
        request: What is asked.
        key: The call's key.
    """
    return request if request.session_id is not None else replace(request, session_id=own_session(key))
