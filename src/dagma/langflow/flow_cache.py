"""Flows that were fetched a moment ago."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

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
