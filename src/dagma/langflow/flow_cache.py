"""Flows that were fetched a moment ago."""

import threading
import time

from dagma.langflow.flow import Flow


class FlowCache:
    """Keeps flows by the id or endpoint name that they were asked for; safe for threads.

    Args:
        seconds: How long a flow is taken as current.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._flows: dict[str, tuple[float, Flow]] = {}

    def get(self, key: str) -> Flow | None:
        """Return the flow, if it is kept and current."""
        with self._lock:
            kept_at, flow = self._flows.get(key, (float("-inf"), None))
            return flow if time.monotonic() - kept_at < self._seconds else None

    def put(self, key: str, flow: Flow) -> None:
        """Keep a flow."""
        with self._lock:
            self._flows[key] = (time.monotonic(), flow)

    def forget(self, flow_id: str) -> None:
        """Drop a flow, under whichever key it is kept."""
        with self._lock:
            self._flows = {
                key: (kept_at, flow)
                for key, (kept_at, flow) in self._flows.items()
                if flow_id not in (key, flow.id, flow.endpoint_name)
            }
