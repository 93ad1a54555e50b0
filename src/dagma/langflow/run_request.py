"""What a call sends: checked here, because Langflow does not.

A body that Langflow's v1 can't read (a field of the wrong type, a text with half a surrogate pair) is answered with 200
and a run on an empty input. A NUL character runs on SQLite; on PostgreSQL the run fails wherever Langflow first stores
the text, as if the server were at fault.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal, get_args
from urllib.parse import quote
from uuid import UUID

from dagma.langflow.errors import BadRequest, FlowNotFound, MalformedResponse

InputType = Literal["chat", "text", "any"]
OutputType = Literal["chat", "text", "any", "debug"]
# More than any endpoint name has. The ledger's index on PostgreSQL holds texts of up to 2,700 bytes.
MOST_FLOW_ID_CHARACTERS = 500


def check_flow_id(flow_id: str) -> None:
    """Refuse what can be neither a flow's id nor its endpoint name.

    Raises:
        BadRequest: It is no text, empty, a step in a path, or has a NUL character.
        FlowNotFound: It has a slash, which Langflow takes for another path, or is too long.
    """
    _check_text("flow_id", flow_id)
    if not flow_id.strip("./ "):
        raise BadRequest("flow_id must be a flow's id or endpoint name.")
    if "/" in flow_id or len(flow_id) > MOST_FLOW_ID_CHARACTERS:
        raise FlowNotFound(
            f"No flow has the id or endpoint name {flow_id[:100]!r}: an endpoint name has letters, digits, - and _ "
            f"only, and flow_id may have {MOST_FLOW_ID_CHARACTERS} characters at most."
        )


def v1_path(flow_id: str) -> str:
    """Return the path of the v1 runs of a flow.

    Raises:
        BadRequest: The id or endpoint name can be none.
        FlowNotFound: The same.
    """
    check_flow_id(flow_id)
    return f"/api/v1/run/{quote(flow_id, safe='')}"


def v1_body(
    input_value: str,
    *,
    input_type: InputType,
    output_type: OutputType,
    tweaks: Mapping[str, Any] | None,
    session_id: str | None,
) -> dict[str, Any]:
    """Return the body of a v1 run.

    Raises:
        BadRequest: A value is not of its type.
    """
    _check_text("input_value", input_value)
    if input_type not in get_args(InputType):
        raise BadRequest(f"input_type must be one of {', '.join(get_args(InputType))}.")
    if output_type not in get_args(OutputType):
        raise BadRequest(f"output_type must be one of {', '.join(get_args(OutputType))}.")
    body: dict[str, Any] = {"input_value": input_value, "input_type": input_type, "output_type": output_type}
    return body | _optional(tweaks, session_id)


def v2_body(
    flow_id: str, input_value: str, *, mode: str, tweaks: Mapping[str, Any] | None, session_id: str | None
) -> dict[str, Any]:
    """Return the body of a v2 run.

    Raises:
        BadRequest: A value is not of its type.
    """
    _check_text("input_value", input_value)
    body = {"flow_id": checked_uuid("flow_id", flow_id), "input_value": input_value, "mode": mode}
    return body | _optional(tweaks, session_id)


def uuid_or_none(value: str) -> str | None:
    """Return the canonical form of a UUID; None for anything else, such as an endpoint name."""
    try:
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError):
        return None


def checked_uuid(name: str, value: str) -> str:
    """Return the canonical form of a UUID.

    Raises:
        BadRequest: It is none.
    """
    if (uuid := uuid_or_none(value)) is None:
        raise BadRequest(f"{name} must be a UUID; names are taken by direct runs only.")
    return uuid


def refuse_ignored_input(body: Mapping[str, Any], input_value: str) -> None:
    """Raise if a v1 run says that it ran without the input that was sent.

    Raises:
        MalformedResponse: It ran on an empty input.
    """
    runs = body.get("outputs")
    if not input_value or not isinstance(runs, list):
        return
    for run in runs:
        if isinstance(run, Mapping) and run.get("inputs") == {}:
            raise MalformedResponse(
                "Langflow could not read the request and ran the flow on an empty input.",
                fix="Look for 'Failed to parse request body' in Langflow's log.",
                status=200,
                outcome="failed",
            )


def _optional(tweaks: Mapping[str, Any] | None, session_id: str | None) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if tweaks is not None:
        if not isinstance(tweaks, Mapping) or not all(
            isinstance(component, str) and isinstance(values, Mapping) for component, values in tweaks.items()
        ):
            raise BadRequest("tweaks must map component ids to objects that map fields to values.")
        # A value that holds itself is refused as no JSON when it is sent.
        with suppress(RecursionError):
            for name, text in _texts("tweaks", tweaks):
                _refuse_nul(name, text)
        body["tweaks"] = {component: dict(values) for component, values in tweaks.items()}
    if session_id is not None:
        _check_text("session_id", session_id)
        body["session_id"] = session_id
    return body


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be a text, not {type(value).__name__}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{name} holds half a surrogate pair, which is no Unicode text.") from None
    _refuse_nul(name, value)


def _refuse_nul(name: str, text: str) -> None:
    if "\0" in text:
        raise BadRequest(
            f"{name} holds a NUL character (U+0000), which PostgreSQL, and so Langflow, can't store.",
            fix="Remove the character: a text that has one is often binary data, or UTF-16 read as another encoding.",
        )


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield the texts of a JSON value, the names in its objects included, each with where it is."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"a name in {name}", str(key)
            yield from _texts(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(name, inner)
