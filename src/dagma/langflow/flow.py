"""A flow as Langflow stores it, the version of its content, and the flows that were fetched a moment ago."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dagma.langflow.errors import BadRequest, MalformedResponse
from dagma.langflow.untrusted_json import objects, text_or_none, walk

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
            MalformedResponse: It has no id or no name.
        """
        flow_id, name = text_or_none(body.get("id")), text_or_none(body.get("name"))
        if flow_id is None or name is None:
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
    """Keeps flows by the id or endpoint name that they were asked for; safe for threads.

    Args:
        seconds: How long a flow is taken as current.
    """

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._flows: dict[str, tuple[float, Flow]] = {}
        self._fetching: dict[str, Future[Flow]] = {}

    def get(self, key: str) -> Flow | None:
        """Return the flow, if it is kept and current."""
        with self._lock:
            return self._kept(key, self._seconds)

    def get_or_fetch(self, key: str, fetch: Callable[[], Flow]) -> Flow:
        """Return the flow, fetched by one of the callers that ask for it at the same time.

        Meanwhile the others take the one that is kept, up to twice its time, and else wait for that caller.

        Args:
            key: Its id or endpoint name.
            fetch: Fetches it; what it raises, all callers that wait for it get.
        """
        while True:
            with self._lock:
                if flow := self._kept(key, self._seconds):
                    return flow
                running = self._fetching.get(key)
                if running is None:
                    mine = self._fetching[key] = Future[Flow]()
                elif flow := self._kept(key, 2 * self._seconds):
                    return flow
            if running is None:
                return self._fetch(key, fetch, mine)
            try:
                return running.result()
            except CancelledError:
                continue

    def _fetch(self, key: str, fetch: Callable[[], Flow], told: "Future[Flow]") -> Flow:
        try:
            flow = fetch()
            self.put(key, flow)
        except Exception as error:
            told.set_exception(error)
            raise
        else:
            told.set_result(flow)
            return flow
        finally:
            with self._lock:
                del self._fetching[key]
            # An interrupt of this caller is none of the others'.
            told.cancel()

    def _kept(self, key: str, seconds: float) -> Flow | None:
        kept_at, flow = self._flows.get(key, (float("-inf"), None))
        return flow if time.monotonic() - kept_at < seconds else None

    def put(self, key: str, flow: Flow) -> None:
        """Keep a flow, also by its id."""
        with self._lock:
            self._flows[key] = self._flows[flow.id] = (time.monotonic(), flow)

    def forget(self, flow_id: str) -> None:
        """Drop a flow, under whichever key it is kept."""
        with self._lock:
            self._flows = {
                key: (kept_at, flow)
                for key, (kept_at, flow) in self._flows.items()
                if flow_id not in (key, flow.id, flow.endpoint_name)
            }


def _plain(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in _CANVAS_ONLY}


def _identity(part: Mapping[str, Any]) -> str:
    return json.dumps([part.get("id"), part.get("source"), part.get("target")], default=str)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:20]) or "none"
