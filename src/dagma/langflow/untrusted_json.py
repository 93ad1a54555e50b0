"""Reading JSON that a server sent, without trusting its shape."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from dagma.langflow.errors import MalformedResponse, Outcome
from dagma.langflow.http.transport import Reply


def json_or_none(text: bytes | str) -> Any:
    """Return the JSON of a text, or None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def json_value(reply: Reply, *, outcome: Outcome = "unknown") -> Any:
    """Return the JSON of a response's body; `outcome` is what a body that is none says about the flow's run.

    Raises:
        MalformedResponse: The body is empty or no JSON.
    """
    try:
        return json.loads(reply.body.decode("utf-8"))
    except (ValueError, RecursionError):
        found = "a body that is not JSON" if reply.body else "no body"
        raise malformed(reply, found, outcome=outcome) from None


def json_object(reply: Reply, *, outcome: Outcome = "unknown") -> dict[str, Any]:
    """Return the JSON object of a response's body.

    Raises:
        MalformedResponse: The body is no JSON object.
    """
    value = json_value(reply, outcome=outcome)
    if not isinstance(value, dict):
        raise malformed(reply, f"a JSON {type(value).__name__} where an object belongs", outcome=outcome)
    return value


def json_objects(reply: Reply) -> list[dict[str, Any]]:
    """Return the JSON list of objects of a response's body.

    Raises:
        MalformedResponse: The body is no such list.
    """
    value = json_value(reply, outcome="not_run")
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise malformed(reply, "JSON that is not a list of objects", outcome="not_run")
    return value


def malformed(reply: Reply, found: str, *, outcome: Outcome = "unknown") -> MalformedResponse:
    """Return the error for a body of the wrong shape."""
    return MalformedResponse(
        f"Langflow answered {reply.status} with {found}.", status=reply.status, excerpt=reply.excerpt, outcome=outcome
    )


def walk(value: Any, *path: str | int) -> Any:
    """Return what lies at `path` in nested JSON, or None where it ends early."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list; nothing for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text_or_none(value: Any) -> str | None:
    """Return a text, or None for anything else or an empty one."""
    return value if isinstance(value, str) and value else None


def finite_number(value: Any) -> float | None:
    """Return a number that can be reckoned with, or None for anything else, such as 1e999 or 400 digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def moment_or_none(value: Any) -> datetime | None:
    """Return a time of Langflow's, aware; None for anything else.

    It is written as `2026-01-31 12:00:00.000000 UTC` or as in ISO 8601, and is in UTC where it tells no zone.
    """
    try:
        moment = datetime.fromisoformat(str(value).replace(" UTC", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
