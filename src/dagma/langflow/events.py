"""What happens inside a flow while it runs, read from an event stream that comes in piece by piece."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dagma.langflow.errors import MalformedResponse
from dagma.langflow.result import CallResult
from dagma.langflow.untrusted_json import finite_number, text_or_none, walk

EventKind = Literal[
    "started",
    "component_started",
    "component_finished",
    "component_failed",
    "message",
    "token",
    "failed",
    "waiting",
    "finished",
    "cancelled",
    "timed_out",
    "lost",
    "other",
]

# Events without a name are the terminal rows of Langflow's job log.
_TERMINAL_ROWS: dict[str, EventKind] = {"cancelled": "cancelled", "timed_out": "timed_out", "worker_lost": "lost"}


@dataclass(frozen=True)
class FlowEvent:
    """Something that happened in a flow's run.

    Args:
        kind: What happened; `other` for what this version does not know.
        component: Id of the component, where it is about one.
        text: The message, the token, the reason of a failure or the question to a human.
        seconds: How long the component, or at the end the flow, took, where Langflow tells.
        id: Where to resume the stream of a job after this event and those that came with it.
        done: How many components have finished, where that is known.
        total: How many components are to run, where that is known.
        result: The answer, in the `finished` event of a direct stream.
        data: The event as it came.
    """

    kind: EventKind
    component: str | None = None
    text: str | None = None
    seconds: float | None = None
    id: str | None = None
    done: int | None = None
    total: int | None = None
    result: CallResult | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


def lines(chunks: Iterable[bytes], *, longest: int) -> Iterator[str]:
    """Yield the lines of a body, without their ends.

    Args:
        chunks: The body.
        longest: Longest line in bytes, which bounds the memory.

    Raises:
        MalformedResponse: A line is longer, or is no UTF-8.
    """
    rest = bytearray()
    for chunk in chunks:
        start = len(rest)
        rest += chunk
        # Only the new part is searched, so that a line in many pieces costs no quadratic time.
        while (end := rest.find(b"\n", start)) >= 0:
            yield _decoded(rest[:end])
            del rest[: end + 1]
            start = 0
        if len(rest) > longest:
            raise MalformedResponse(f"The stream has a line longer than {longest} bytes.", status=200)
    if rest:
        yield _decoded(rest)


def frames(text: Iterable[str], *, longest: int) -> Iterator[tuple[str | None, str | None]]:
    """Yield data and id of the frames of an event stream; one that breaks off before its blank line is dropped.

    The data is None for a comment, by which a server keeps a silent connection alive.

    Args:
        text: The stream's lines.
        longest: Longest data of one frame in characters, which bounds the memory.

    Raises:
        MalformedResponse: A frame is longer, or the text is no event stream, such as a gateway's page.
    """
    data: list[str] = []
    size, frame_id = 0, None
    for line in text:
        if not line:
            if data:
                yield "\n".join(data), frame_id
            data, size, frame_id = [], 0, None
        elif line.startswith(":"):
            yield None, None
        else:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
                size += len(value) + 1
                if size > longest:
                    raise MalformedResponse(f"The stream has an event longer than {longest} characters.", status=200)
            elif name == "id":
                # Others could not be sent as Last-Event-ID.
                frame_id = value if value.isprintable() and value.isascii() else frame_id
            elif name not in ("event", "retry"):
                raise MalformedResponse("The stream holds a line that no event has.", status=200)


class EventReader:
    """Turns the JSON of a stream into events, counting the components on the way."""

    def __init__(self) -> None:
        self._to_run: set[str] = set()
        self._done: set[str] = set()

    def read(self, text: str, event_id: str | None = None) -> Iterator[FlowEvent]:
        """Yield the events that one JSON object tells.

        Args:
            text: The object.
            event_id: Its id in the stream.

        Raises:
            MalformedResponse: It is no JSON object.
        """
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise MalformedResponse("The stream holds something that is not a JSON object.", status=200)
        raw = body.get("data")
        data: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
        for event in self._events(str(body.get("event")), text_or_none(body.get("type")), data):
            known = bool(self._to_run)
            yield replace(
                event,
                id=event_id,
                done=len(self._done) if known else None,
                total=len(self._to_run | self._done) if known else None,
                data=body,
            )

    def _events(self, name: str, row: str | None, data: Mapping[str, Any]) -> Iterator[FlowEvent]:
        if name == "vertices_sorted":
            self._to_run |= _texts(data.get("to_run"))
            yield FlowEvent("started")
            yield from _starts(data.get("ids"))
        elif name == "end_vertex":
            yield from self._end_vertex(data)
        else:
            yield _event(name, row, data)

    def _end_vertex(self, data: Mapping[str, Any]) -> Iterator[FlowEvent]:
        build = walk(data, "build_data")
        component = text_or_none(walk(build, "id"))
        if component is not None:
            self._done.add(component)
        if walk(build, "valid") is False:
            yield FlowEvent("component_failed", component=component, text=text_or_none(walk(build, "params")))
            return
        seconds = finite_number(walk(build, "data", "timedelta"))
        yield FlowEvent("component_finished", component=component, seconds=seconds)
        yield from _starts(walk(build, "next_vertices_ids"))


def _event(name: str, row: str | None, data: Mapping[str, Any]) -> FlowEvent:
    """Return the event that needs no count of components."""
    match name:
        case "add_message":
            return FlowEvent("message", component=_source(data), text=text_or_none(data.get("text")))
        case "token":
            return FlowEvent("token", text=text_or_none(data.get("chunk")))
        case "error":
            reason = text_or_none(data.get("text")) or text_or_none(data.get("error"))
            return FlowEvent("failed", component=_source(data), text=reason)
        case "human_input_required":
            return FlowEvent("waiting", text=text_or_none(data.get("prompt")))
        case "end":
            return FlowEvent("finished", seconds=finite_number(data.get("build_duration")))
        case "cancelled" | "run_cancelled":
            return FlowEvent("cancelled")
    return FlowEvent(_TERMINAL_ROWS.get(row or "", "other"))


def error_component(data: Mapping[str, Any]) -> str | None:
    """Return the name of the component in the data of an error event."""
    return text_or_none(walk(data, "properties", "source", "display_name"))


def _starts(components: Any) -> Iterator[FlowEvent]:
    for component in sorted(_texts(components)):
        yield FlowEvent("component_started", component=component)


def _texts(value: Any) -> set[str]:
    return {each for each in value if isinstance(each, str)} if isinstance(value, list) else set()


def _source(data: Mapping[str, Any]) -> str | None:
    return text_or_none(walk(data, "properties", "source", "id"))


def _decoded(line: bytearray) -> str:
    try:
        return line.decode("utf-8").rstrip("\r")
    except UnicodeDecodeError:
        raise MalformedResponse("The stream is no UTF-8.", status=200) from None
