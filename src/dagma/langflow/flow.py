"""A flow as Langflow stores it, the flows that were fetched a moment ago, and what a call of one sends.

What a call sends is checked here, because Langflow does not. A body that its v1 can't read (a field of the wrong type,
a text with half a surrogate pair) is answered with 200 and a run on an empty input. A NUL character runs on SQLite; on
PostgreSQL the run fails wherever Langflow first stores the text, as if the server were at fault.
"""

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args
from urllib.parse import quote
from uuid import UUID

from dagma.langflow.errors import BadRequest, LangflowError, MalformedResponse
from dagma.langflow.untrusted_json import objects, text_or_none, walk

InputType = Literal["chat", "text", "any"]
OutputType = Literal["chat", "text", "any", "debug"]
# More than any endpoint name has. The ledger's index on PostgreSQL holds texts of up to 2,700 bytes.
MOST_FLOW_ID_CHARACTERS = 500
# What the canvas changes when nodes are only looked at or moved.
_CANVAS_ONLY = {
    *("animated", "className", "style"),
    *("dragging", "height", "measured", "position", "positionAbsolute", "selected", "width"),
}


def content_version(flow: Mapping[str, Any]) -> str:
    """Return a hash of what a flow does: its components, their fields and their wiring.

    Moving nodes, renaming the flow or saving it again does not change it. Langflow's own version token changes with
    every save, and is missing for flows that were loaded from files.

    Args:
        flow: The flow's JSON, with its `data`.

    Returns:
        The first 16 hex digits of a SHA-256.
    """
    data = flow.get("data")
    graph = {
        name: sorted((_plain(part) for part in objects(walk(data, name))), key=_identity) for name in ("nodes", "edges")
    }
    text = json.dumps(graph, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class Flow:
    """A flow.

    Args:
        id: UUID.
        name: Display name; not an address.
        endpoint_name: Name that v1 takes in place of the id.
        raw: The flow's JSON; its `data` is None in listings of headers.
    """

    id: str
    name: str
    endpoint_name: str | None
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Flow":
        """Read a flow's JSON.

        Raises:
            MalformedResponse: It has no id or no name. Langflow takes an empty name.
        """
        flow_id, name = text_or_none(body.get("id")), body.get("name")
        if flow_id is None or not isinstance(name, str):
            raise MalformedResponse("Langflow sent a flow without an id or a name.", outcome="not_run")
        return cls(id=flow_id, name=name, endpoint_name=text_or_none(body.get("endpoint_name")), raw=body)

    @cached_property
    def version(self) -> str:
        """The version of the flow's content."""
        return content_version(self.raw)

    @cached_property
    def components(self) -> Mapping[str, frozenset[str]]:
        """The names of the fields of every component, by component id."""
        return {
            node_id: frozenset(name for name in template if not name.startswith("_"))
            for node in objects(walk(self.raw, "data", "nodes"))
            if (node_id := text_or_none(walk(node, "id"))) is not None
            and isinstance(template := walk(node, "data", "node", "template"), Mapping)
        }

    @cached_property
    def asks_human(self) -> bool:
        """Whether the flow has a Human Input component, for which only a background job can wait."""
        return any(walk(node, "data", "type") == "HumanInput" for node in objects(walk(self.raw, "data", "nodes")))

    def check_tweaks(self, tweaks: Mapping[str, Any]) -> None:
        """Refuse tweaks that Langflow would ignore without a word.

        Only component ids are taken, since a display name works in direct runs and is ignored in background jobs.

        Args:
            tweaks: Values by field, by component id.

        Raises:
            BadRequest: A component or a field does not exist.
        """
        for component, values in tweaks.items():
            if component not in self.components:
                raise BadRequest(
                    f"The flow {self.name!r} has no component with the id {component!r} to tweak.",
                    fix=f"Its components are {_listed(self.components)}.",
                )
            for name in values if isinstance(values, Mapping) else ():
                if name not in self.components[component]:
                    raise BadRequest(
                        f"The component {component!r} of the flow {self.name!r} has no field {name!r} to tweak.",
                        fix=f"Its fields are {_listed(self.components[component])}.",
                    )


class FlowCache:
    """Keeps flows for a while by the id or endpoint name that they were asked for; safe for threads.

    Args:
        seconds: How long, counted from when a flow was asked for.
    """

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._lookups: dict[str, tuple[float, Future[Flow]]] = {}

    def get_or_fetch(self, key: str, fetch: Callable[[], Flow], seconds: float | None = None) -> Flow:
        """Return the flow, fetched by one of the callers that ask for it at the same time.

        Args:
            key: Its id or endpoint name.
            fetch: Fetches it. All callers that wait get an error that no retry can help; after any other, such as one
                that comes from the patience of the caller that fetched, each fetches for itself.
            seconds: How long to wait for what another caller fetches, before fetching.
        """
        # Those of now: what was asked for before `forget` is not kept after it.
        mine, lookups = Future[Flow](), self._lookups
        with self._lock:
            since, lookup = lookups.get(key, (-math.inf, mine))
            if time.monotonic() - since >= self._seconds:
                lookup = mine
                lookups[key] = (time.monotonic(), mine)
        if lookup is mine:
            try:
                flow = fetch()
                lookups[flow.id] = (time.monotonic(), mine)  # also for those who know it by its id
                mine.set_result(flow)
            except BaseException as error:
                lookups.pop(key, None)
                # What interrupts this caller is not for those who wait.
                mine.set_exception(error if isinstance(error, Exception) else TimeoutError())
                raise
            return flow
        try:
            return lookup.result(seconds)
        except TimeoutError:
            pass
        except LangflowError as error:
            if not error.retryable:
                raise
        return fetch()

    def forget(self) -> None:
        """Drop all flows."""
        self._lookups = {}


def check_flow_id(flow_id: str) -> None:
    """Refuse what can be neither a flow's id nor its endpoint name.

    Raises:
        BadRequest: It is no text, empty, a path or a step in one, too long, or has a NUL character.
    """
    _check_text("flow_id", flow_id)
    if not flow_id.strip(". ") or "/" in flow_id or len(flow_id) > MOST_FLOW_ID_CHARACTERS:
        raise BadRequest(
            f"flow_id must be a flow's id or endpoint name, not {flow_id[:100]!r}.",
            fix=f"An endpoint name has letters, digits, - and _ only; {MOST_FLOW_ID_CHARACTERS} characters at most.",
        )


def v1_path(flow_id: str) -> str:
    """Return the path of the v1 runs of a flow; refuse an id or endpoint name that can be none."""
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
    if input_type not in get_args(InputType):
        raise BadRequest(f"input_type must be one of {', '.join(get_args(InputType))}.")
    if output_type not in get_args(OutputType):
        raise BadRequest(f"output_type must be one of {', '.join(get_args(OutputType))}.")
    types = {"input_type": input_type, "output_type": output_type}
    return types | run_body(input_value, tweaks=tweaks, session_id=session_id)


def run_body(input_value: str, *, tweaks: Mapping[str, Any] | None, session_id: str | None) -> dict[str, Any]:
    """Return what the bodies of all runs have in common.

    Raises:
        BadRequest: A value is not of its type.
    """
    _check_text("input_value", input_value)
    body: dict[str, Any] = {"input_value": input_value}
    if tweaks is not None:
        if not isinstance(tweaks, Mapping) or not all(
            isinstance(component, str) and isinstance(values, Mapping) for component, values in tweaks.items()
        ):
            raise BadRequest("tweaks must map component ids to objects that map fields to values.")
        body["tweaks"] = {component: dict(values) for component, values in tweaks.items()}
    if session_id is not None:
        _check_text("session_id", session_id)
        body["session_id"] = session_id
    return body


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
        raise BadRequest(f"{name} must be a UUID.", fix="Give the id; `find_flow(name).id` is that of a flow.")
    return uuid


def _plain(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in _CANVAS_ONLY}


def _identity(part: Mapping[str, Any]) -> str:
    return json.dumps([part.get("id"), part.get("source"), part.get("target")], default=str)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:20]) or "none"


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be a text, not {type(value).__name__}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{name} holds half a surrogate pair, which is not valid Unicode.") from None
    if "\0" in value:
        raise BadRequest(
            f"{name} holds a NUL character (U+0000), which PostgreSQL, and so Langflow, can't store.",
            fix="Remove the character: a text that has one is often binary data, or UTF-16 read as another encoding.",
        )
